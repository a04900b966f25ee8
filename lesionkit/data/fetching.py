"""`lesionkit data fetch`: an official release, downloaded, checked and unpacked into a folder.

`fetched.json` in the folder says of each file where it came from, when, its size and hashes, and what it held (bytes and
CRC-32 of each), so that a later fetch tells whether all is still there as it came.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lesionkit.data import unpacking
from lesionkit.data.downloading import Client, DownloadError, Remote
from lesionkit.data.parts import digests
from lesionkit.data.releases import Release, Source, by_hand, locate
from lesionkit.data.unpacking import UnpackError, free_bytes, listed, readable

RECORD = "fetched.json"

Progress = Callable[[str, int, int | None], None]  # what is done, bytes so far, bytes in all or None


class FetchError(Exception):
    """A release that is not fetched: what happened, and how to go on, also by hand."""


@dataclass(frozen=True)
class Plan:
    """What a fetch would do. `remotes` by the file's name in the release; without any, the release is whole already."""

    release: Release
    source: Source
    folder: Path
    remotes: dict[str, Remote]

    @property
    def needed(self) -> int:
        """Bytes the disk must have: all of it, about as large unpacked as packed, and the largest archive beside it."""
        sizes = {name: remote.size or 0 for name, remote in self.remotes.items()}
        here = {name: _size(self.folder / f"{remote.name}.part") for name, remote in self.remotes.items()}
        packed = [size for name, size in sizes.items() if name.endswith(".zip") and not by_hand(name, self.folder)]
        return max(0, sum(sizes.values()) + max(packed, default=0) - sum(here.values()))

    def render(self) -> str:
        """Size, licence and whom to cite, as plain text."""
        sizes = [remote.size for remote in self.remotes.values()]
        width = max(map(len, self.remotes), default=0)
        return "\n".join([
            f"{self.release.title}, from {self.source.page}",
            *(f"  {name:<{width}}  {readable(remote.size):>10}" for name, remote in self.remotes.items()),
            f"  {'together':<{width}}  {readable(sum(filter(None, sizes))):>10}; on disk about {readable(self.needed)}, "
            f"{readable(free_bytes(self.folder))} are free in {self.folder}",
            licence(self.release, self.source),
        ])  # fmt: skip


def licence(release: Release, source: Source) -> str:
    """Under which licence, whose it is, and whom to cite."""
    cite = "\n".join(f"  {citation}" for citation in release.citations)
    return f"Licence: {source.licence or release.licence}. {release.attribution}. Please cite:\n{cite}"


def plan(release: Release, source: Source, folder: Path, client: Client, progress: Progress) -> Plan:
    """What is to be done to have `release` in `folder`, where nothing is changed yet. Raises FetchError."""
    record = read_record(folder).get(release.title, {}).get(source.host, {})
    todo = tuple(name for name in source.files if not _whole(folder, name, record.get(name), progress))
    if not todo:
        return Plan(release, source, folder, {})
    try:
        remotes = locate(source, todo, folder, client)
    except DownloadError as error:
        raise FetchError(_go_on(error, release, source, folder, {name: source.address(name) for name in todo})) from error
    found = Plan(release, source, folder, remotes)
    if found.needed > (free := free_bytes(folder)):
        raise FetchError(
            f"{folder} has {readable(free)} free, about {readable(found.needed)} are needed. Make room, or give a folder "
            "on another disk"
        )
    return found


def carry_out(plan: Plan, client: Client, say: Callable[[str], None], progress: Progress) -> None:
    """Fetch, check and unpack the files of `plan` one after the other; `say` is told of each. Raises FetchError."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(plan.folder / ".fetch.lock", timeout=0):
            for name, remote in plan.remotes.items():
                say(f"{name}: {_one(plan, name, remote, client, progress)}")
    except Timeout:
        raise FetchError(f"another fetch is at work in {plan.folder}: wait for it to end") from None
    except UnpackError as error:
        raise FetchError(str(error)) from error


def read_record(folder: Path) -> dict[str, Any]:
    """fetched.json: release -> source -> file -> from, when, bytes, sha256, md5, contents; empty where there is none."""
    file = folder / RECORD
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, OSError) as error:
        raise FetchError(f"{file} cannot be read ({error}). Delete it: what is there is then compared anew") from error


def _one(plan: Plan, name: str, remote: Remote, client: Client, progress: Progress) -> str:
    """Bring in one file of a release, and say what was done."""
    own = by_hand(name, plan.folder)
    file = own or plan.folder / remote.name
    if own:
        hashes = digests(own)
        _check_own(own, remote, hashes["md5"])
    else:
        try:
            hashes = client.download(remote, file, lambda done, total: progress(name, done, total))
        except DownloadError as error:
            raise FetchError(_go_on(error, plan.release, plan.source, plan.folder, {remote.name: remote.url})) from error
    size = file.stat().st_size
    if file.suffix == ".zip":
        contents = unpacking.unpack(file, plan.folder, lambda done, total: progress(f"unpacking {name}", done, total))
    else:
        contents = {file.name: (size, unpacking.checksum(file))}
    entry = {"from": remote.url, "by_hand": own is not None, "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
             "bytes": size, **hashes, "contents": {path: f"{size} {crc:08x}" for path, (size, crc) in contents.items()}}  # fmt: skip
    _note(plan, name, entry)
    done = f"{readable(size)}, " + ("MD5 as published" if remote.md5 else "no hash is published: its SHA-256 is noted")
    if file.suffix != ".zip":
        return done
    if own is None:
        file.unlink()  # what it held lies beside it, each file with the CRC-32 that the archive states
    return done + f", {len(contents):,} files unpacked"


def _check_own(file: Path, remote: Remote, md5: str) -> None:
    """A file that lay there already must be the published one, as far as that is known."""
    size = file.stat().st_size
    table = file.name != remote.name  # Dataverse's other form of it, of another size
    if remote.size not in (None, size) and not table:
        fault = f"has {size:,} bytes, {remote.size:,} are published"
    elif remote.md5 and md5 != remote.md5.lower():
        fault = f"has the MD5 {md5}, published is {remote.md5}"
    else:
        return
    raise FetchError(f"{file} {fault}. Move or delete it, and give the same command again: it is then fetched anew")


def _whole(folder: Path, name: str, entry: dict[str, Any] | None, progress: Progress) -> bool:
    """Whether what an entry of the record names is all there. Raises FetchError where something differs from what came."""
    if entry is None:
        return False
    contents = {path: (int(size), int(crc, 16)) for path, (size, crc) in ((p, c.split()) for p, c in entry["contents"].items())}
    missing, differing = unpacking.compare(folder, contents, lambda done, total: progress(f"checking {name}", done, total))
    if differing:
        raise FetchError(
            f"{listed(differing)}: in {folder} and other than fetched on {entry['when'][:10]}. Move or delete what is there: "
            "nothing is overwritten. The same command then fetches it again"
        )
    return not missing


def _note(plan: Plan, name: str, entry: dict[str, Any]) -> None:
    record = read_record(plan.folder)
    record.setdefault(plan.release.title, {}).setdefault(plan.source.host, {})[name] = entry
    temporary = plan.folder / f".{RECORD}.partial"
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    os.replace(temporary, plan.folder / RECORD)


def _go_on(error: DownloadError, release: Release, source: Source, folder: Path, addresses: dict[str, str]) -> str:
    """Why files did not come, and the ways on; `addresses` by the files' names."""
    lines = [f"{listed(addresses)} did not come: {error}."]
    for part in (folder / f"{name}.part" for name in addresses):
        if part.exists():
            lines.append(f"{readable(_size(part))} lie in {part}: the same command goes on there.")
    lines.append(f"By hand: save in {folder}, with a browser or from another machine,")
    lines += [f"    {name} from {address}" for name, address in addresses.items() if not by_hand(name, folder)]
    lines.append("and give the same command again: it checks and unpacks what lies there.")
    others = [other for other in release.sources if other is not source]
    if others:
        lines.append("Or from elsewhere: " + " or ".join(f"--source {other.host}" for other in others) + ".")
    return "\n".join(lines)


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
