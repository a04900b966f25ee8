"""Zip archives unpacked below a folder and nowhere else: nothing of one is trusted, nothing there overwritten."""

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

Contents = dict[str, tuple[int, int]]  # path below a folder -> (bytes, CRC-32)
_LEAVINGS = ("__MACOSX", ".DS_Store")  # what macOS puts into archives
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what archives of images use; errors of the others are many
_SHOWN = 3


class UnpackError(Exception):
    """An archive that is not unpacked, why, and what to do."""


def unpack(archive: Path, folder: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Contents:
    """Unpack a zip `archive` below `folder`; returns what it holds. Files there that are the same are left as they are.

    An archive without a folder of its own name gets one, so that two archives do not mix. Each file is written beside
    its place and renamed once its CRC-32 is right. `progress` takes bytes written and to write. Raises UnpackError for
    an archive that is broken, not understood, or would write outside `folder` or through a link, too full a disk, and
    files there that differ.
    """
    try:
        with zipfile.ZipFile(archive) as bundle:
            members = _members(archive, bundle.infolist())
            _check_inside(archive, members, folder)
            contents = {path: (info.file_size, info.CRC) for path, info in members.items()}
            missing, differing = compare(folder, contents)
            if differing:
                raise UnpackError(
                    f"{listed(differing)}: in {folder} and other than in {archive.name}. Move or delete what is there: "
                    "nothing is overwritten. The same command then goes on"
                )
            _check_methods(archive, {path: members[path] for path in missing}, folder)
            _check_room(folder, sum(contents[path][0] for path in missing))
            _extract(bundle, {path: members[path] for path in missing}, folder, progress)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UnpackError(
            f"{archive} is broken ({error}). Delete it and give the same command again, or fetch it by hand"
        ) from error
    return contents


def compare(
    folder: Path, contents: Contents, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[str], list[str]]:
    """The paths of `contents` that are missing in `folder`, and those whose size or CRC-32 differ there."""
    missing, differing, done, total = [], [], 0, sum(size for size, _ in contents.values())
    for path, (size, crc) in contents.items():
        file = folder / path
        if not os.path.lexists(file):
            missing.append(path)
        elif not file.is_file() or file.stat().st_size != size or checksum(file) != crc:
            differing.append(path)
        done += size
        progress(done, total)
    return missing, differing


def checksum(file: Path) -> int:
    """CRC-32 of a file, as zip archives have it."""
    crc = 0
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            crc = zlib.crc32(chunk, crc)
    return crc


def listed(paths: Iterable[str]) -> str:
    """The first few of some paths, in words."""
    paths = list(paths)
    more = f" and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more


def readable(size: int | None) -> str:
    """Bytes in words: 1.4 GB; "?" for None."""
    if size is None:
        return "?"
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
    return next((f"{size / unit:.1f} {name}" for unit, name in units if size >= unit), f"{size} bytes")


def _members(archive: Path, entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Files of the archive by their path below the folder; refuses what no archive of images needs."""
    members, seen = {}, set()
    for info in entries:
        if reason := _unsafe(info):
            raise UnpackError(
                f"{archive} is not unpacked: {info.orig_filename!r} {reason}. Fetch it from its official source"
            )
        parts = [part for part in info.filename.split("/") if part not in ("", ".")]
        if info.is_dir() or any(part in _LEAVINGS or part.startswith("._") for part in parts):
            continue
        path = "/".join(parts)
        if path.casefold() in seen:
            raise UnpackError(f"{archive} is not unpacked: it holds {path!r} twice. Fetch it from its official source")
        seen.add(path.casefold())
        members[path] = info
    own = archive.name.removesuffix(archive.suffix)
    if {path.partition("/")[0] for path in members if "/" in path} == {own} and all("/" in path for path in members):
        return members
    return {f"{own}/{path}": info for path, info in members.items()}


def _unsafe(info: zipfile.ZipInfo) -> str:
    name, kind = info.orig_filename, stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or ".." in name.split("/") or any(sign in name for sign in "\\:\0"):
        return "would leave the folder"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    return "is encrypted" if info.flag_bits & 1 else ""


def _check_inside(archive: Path, members: Mapping[str, zipfile.ZipInfo], folder: Path) -> None:
    """A link that lies in the folder already must not lead an archive out of it."""
    root = folder.resolve()
    for parent in {(folder / path).parent for path in members}:
        if not parent.resolve().is_relative_to(root):
            raise UnpackError(
                f"{archive} is not unpacked: {parent} leads to {parent.resolve()}, outside {folder}. Give a folder "
                "without such a link, or the one that it leads to"
            )


def _check_methods(archive: Path, members: Mapping[str, zipfile.ZipInfo], folder: Path) -> None:
    for path, info in members.items():
        if info.compress_type not in _METHODS:
            raise UnpackError(
                f"{archive} is not unpacked: {path!r} is compressed in a way that is not known here (method "
                f"{info.compress_type}). Unpack it with another program, so that {folder / path} is there, and give "
                "the same command again"
            )


def _check_room(folder: Path, needed: int) -> None:
    free = free_bytes(folder)
    if needed > free:
        raise UnpackError(
            f"{folder} has {readable(free)} free, {readable(needed)} are needed to unpack. Make room and give the same "
            "command again"
        )


def free_bytes(folder: Path) -> int:
    """Bytes free where `folder` is, or will be."""
    while not folder.exists():
        folder = folder.absolute().parent
    return shutil.disk_usage(folder).free


def _extract(
    bundle: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], folder: Path, progress: Callable[[int, int], None]
) -> None:
    done, total = 0, sum(info.file_size for info in members.values())
    for path, info in members.items():
        target = folder / path
        partial = target.with_name(f".{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with bundle.open(info) as source, partial.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)  # reading to the end compares the CRC-32
            os.replace(partial, target)
        except OSError as error:
            raise UnpackError(
                f"{target} could not be written ({error.strerror}). Mend that and give the same command again"
            ) from error
        finally:
            partial.unlink(missing_ok=True)
        done += info.file_size
        progress(done, total)
