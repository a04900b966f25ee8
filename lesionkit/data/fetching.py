"""`lesionkit data fetch`: an official release, downloaded, checked and unpacked into a folder.

What came is noted in the folder (`fetched`), so that a later fetch tells whether all is still there as it came.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from filelock import FileLock, Timeout

from lesionkit.data import fetched, unpacking
from lesionkit.data.downloading import Client, DownloadError, Remote
from lesionkit.data.fetched import COMPARED, Entry, FetchError
from lesionkit.data.parts import digests
from lesionkit.data.releases import Release, Source, by_hand, locate
from lesionkit.data.unpacking import UnpackError, free_bytes, listed, readable

Progress = Callable[[str, int, int | None], None]  # what is done, bytes so far, bytes in all or None


@dataclass(frozen=True)
class Plan:
    """What a fetch would do. `remotes` by the file's name in the release; without any, the release is whole already.

    `late`: files that are whole, but came while no server said what is published; they are compared now.
    """

    release: Release
    source: Source
    folder: Path
    remotes: dict[str, Remote]
    late: dict[str, Remote] = field(default_factory=dict)

    @property
    def needed(self) -> int:
        """Bytes the disk must have: all of it, as large unpacked as packed, and the largest archive beside it."""
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
            f"  {'together':<{width}}  {readable(sum(filter(None, sizes))):>10}; on disk about "
            f"{readable(self.needed)}, {readable(free_bytes(self.folder))} are free in {self.folder}",
            licence(self.release, self.source),
        ])  # fmt: skip


def licence(release: Release, source: Source) -> str:
    """Under which licence, whose it is, and whom to cite."""
    cite = "\n".join(f"  {citation}" for citation in release.citations)
    return f"Licence: {source.licence or release.licence}. {release.attribution}. Please cite:\n{cite}"


def plan(release: Release, source: Source, folder: Path, client: Client, progress: Progress) -> Plan:
    """What is to be done to have `release` in `folder`, where nothing is changed yet. Raises FetchError."""
    entries = fetched.read(folder, release.title, source.host)
    todo = tuple(name for name in source.files if not fetched.whole(folder, name, entries.get(name), progress))
    waiting = (name for name, entry in entries.items() if name not in todo and entry.get("compared") == "not yet")
    late = _late(source, tuple(waiting), folder, client)
    if not todo:
        return Plan(release, source, folder, {}, late)
    try:
        remotes = locate(source, todo, folder, client)
    except DownloadError as error:
        addresses = {name: source.address(name) for name in todo}
        raise FetchError(_go_on(error, release, source, folder, addresses)) from error
    found = Plan(release, source, folder, remotes, late)
    if found.needed > (free := free_bytes(folder)):
        raise FetchError(
            f"{folder} has {readable(free)} free, about {readable(found.needed)} are needed. Make room, or give a "
            "folder on another disk"
        )
    return found


def carry_out(plan: Plan, client: Client, say: Callable[[str], None], progress: Progress) -> None:
    """Fetch, check and unpack the files of `plan` one after the other; `say` is told of each. Raises FetchError."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(plan.folder / ".fetch.lock", timeout=0):
            for name, remote in plan.late.items():
                say(f"{name}: {_compare(plan, name, remote)}")
            for name, remote in plan.remotes.items():
                if fetched.whole(plan.folder, name, _entry(plan, name), progress):  # the plan is older than the lock
                    say(f"{name}: whole, by another fetch")
                else:
                    say(f"{name}: {_one(plan, name, remote, client, progress)}")
    except Timeout:
        raise FetchError(f"another fetch is at work in {plan.folder}: wait for it to end") from None
    except UnpackError as error:
        raise FetchError(str(error)) from error


def _late(source: Source, names: tuple[str, ...], folder: Path, client: Client) -> dict[str, Remote]:
    """What is published of files that could not be compared when they came."""
    try:
        return locate(source, names, folder, client) if names else {}
    except DownloadError:
        return {name: Remote(name, source.page, answered=False) for name in names}


def _entry(plan: Plan, name: str) -> Entry | None:
    return fetched.read(plan.folder, plan.release.title, plan.source.host).get(name)


def _note(plan: Plan, name: str, entry: Entry) -> None:
    fetched.note(plan.folder, plan.release.title, plan.source.host, name, entry)


def _one(plan: Plan, name: str, remote: Remote, client: Client, progress: Progress) -> str:
    """Bring in one file of a release, and say what was done."""
    own = by_hand(name, plan.folder)
    file = own or plan.folder / remote.name
    entry = _found(plan, name, remote, file) if own else _downloaded(plan, name, remote, file, client, progress)
    if file.suffix == ".zip":
        contents = unpacking.unpack(file, plan.folder, lambda done, total: progress(f"unpacking {name}", done, total))
    else:
        contents = {file.name: (entry["bytes"], unpacking.checksum(file))}
    _note(plan, name, entry | {"contents": fetched.written(contents)})
    done = f"{readable(entry['bytes'])}, {_words(plan, entry)}"
    if file.suffix != ".zip":
        return done
    if not entry["by_hand"]:
        file.unlink()  # what it held lies beside it, each file with the CRC-32 that the archive states
    return done + f", {len(contents):,} files unpacked"


def _downloaded(plan: Plan, name: str, remote: Remote, file: Path, client: Client, progress: Progress) -> Entry:
    """Fetch a file. It is noted before it is in place, so that it is never taken for the user's."""
    noted = {}

    def arrived(hashes: dict[str, str], size: int) -> None:
        noted.update(_about(remote, False, size, hashes))
        _note(plan, name, noted)

    try:
        client.download(remote, file, lambda done, total: progress(name, done, total), arrived)
    except DownloadError as error:
        addresses = {remote.name: remote.url}
        raise FetchError(_go_on(error, plan.release, plan.source, plan.folder, addresses)) from error
    return noted


def _found(plan: Plan, name: str, remote: Remote, file: Path) -> Entry:
    """Of a file that lies there already: put there by the user, or by a fetch that did not get to unpack it."""
    entry = _about(remote, True, file.stat().st_size, digests(file))
    if fault := _fault(entry, file.name, remote):
        raise FetchError(
            f"{file} {fault}. Move or delete it, and give the same command again: it is then fetched anew"
        )
    before = _entry(plan, name)
    ours = before and "contents" not in before and not before["by_hand"] and before["sha256"] == entry["sha256"]
    return before if ours else entry


def _about(remote: Remote, by_hand: bool, size: int, hashes: dict[str, str]) -> Entry:
    return {"from": remote.url, "by_hand": by_hand, "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "bytes": size, **hashes, "compared": _how(remote)}  # fmt: skip


def _how(remote: Remote) -> str:
    return "not yet" if not remote.answered else "md5" if remote.md5 else "no hash"


def _words(plan: Plan, entry: Entry) -> str:
    return COMPARED[entry["compared"]].format(host=plan.source.title)


def _fault(entry: Entry, name: str, remote: Remote) -> str:
    """In what a file of this name is not the published one, as far as that is known; "" for nothing."""
    table = name != remote.name  # Dataverse's other form of it, of another size
    if remote.size not in (None, entry["bytes"]) and not table:
        return f"has {entry['bytes']:,} bytes, {remote.size:,} are published"
    if remote.md5 and entry["md5"] != remote.md5.lower():
        return f"has the MD5 {entry['md5']}, published is {remote.md5}"
    return ""


def _compare(plan: Plan, name: str, remote: Remote) -> str:
    """Compare a file that came when no server answered, by what was noted of it: the file itself may be gone."""
    entry = _entry(plan, name)
    if entry is None:
        return "no longer noted"
    file = name if name.endswith(".zip") else next(iter(entry["contents"]), name)
    if fault := _fault(entry, file, remote):
        came = sorted({path.partition("/")[0] for path in entry["contents"]} | {file})
        raise FetchError(
            f"{file}, put into {plan.folder} by {entry['when'][:10]}, {fault}. Move or delete there {', '.join(came)}, "
            "and give the same command again: it is then fetched anew"
        )
    entry["compared"] = _how(remote)
    _note(plan, name, entry)
    return _words(plan, entry)


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
