"""Archives unpacked below a folder and nowhere else, whatever they hold."""

import os
import stat
import zipfile
import zlib

import pytest

from lesionkit.data import unpacking
from lesionkit.data.unpacking import UnpackError, unpack

FILES = {"release/a.jpg": b"a" * 5000, "release/deep/b.jpg": b"b", "release/empty.txt": b""}


def packed(file, entries=FILES, kind=0, **options):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = kind << 16
            bundle.writestr(info, content, **options)
    return file


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def below(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_archive_is_unpacked_and_what_it_holds_is_told(tmp_path, folder):
    told = []
    contents = unpack(packed(tmp_path / "release.zip"), folder, lambda *now: told.append(now))
    assert below(folder) == FILES
    assert contents == {path: (len(content), zlib.crc32(content)) for path, content in FILES.items()}
    assert told[-1] == (5001, 5001) and unpacking.compare(folder, contents) == ([], [])


def test_an_archive_without_its_own_folder_gets_one(tmp_path, folder):
    unpack(packed(tmp_path / "images_1.zip", {"a.jpg": b"1"}), folder)
    unpack(packed(tmp_path / "images_2.zip", {"a.jpg": b"2", "images_2/b.jpg": b"3"}), folder)
    assert below(folder) == {"images_1/a.jpg": b"1", "images_2/a.jpg": b"2", "images_2/images_2/b.jpg": b"3"}


def test_the_leavings_of_macos_stay_packed(tmp_path, folder):
    extra = {"__MACOSX/release/._a.jpg": b"x", "release/.DS_Store": b"x", "release/._b.jpg": b"x"}
    unpack(packed(tmp_path / "release.zip", FILES | extra), folder)
    assert below(folder) == FILES


@pytest.mark.parametrize("name", ["../out.jpg", "release/../../out.jpg", "/out.jpg", "release/..", "..", "C:/out.jpg", "C:out.jpg",
                                  "..\\out.jpg", "\\\\host\\out.jpg", "release\\..\\..\\out.jpg"])  # fmt: skip
def test_no_path_leaves_the_folder(tmp_path, folder, name):
    archive = packed(tmp_path / "release.zip", FILES | {name: b"out"})
    before = below(tmp_path)
    with pytest.raises(UnpackError, match="would leave the folder"):
        unpack(archive, folder)
    assert below(tmp_path) == before and not os.path.exists("/out.jpg")


def test_a_name_with_a_zero_byte_is_refused(tmp_path, folder):
    archive = packed(tmp_path / "release.zip", {"release/a.jpgX.txt": b"x"})
    archive.write_bytes(archive.read_bytes().replace(b"a.jpgX", b"a.jpg\0"))
    with pytest.raises(UnpackError, match="would leave the folder"):
        unpack(archive, folder)
    assert below(folder) == {}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path, folder, kind):
    with pytest.raises(UnpackError, match="'release/a.jpg' is a link or a device"):
        unpack(packed(tmp_path / "release.zip", {"release/a.jpg": b"../../secret"}, kind | 0o777), folder)
    assert list(folder.iterdir()) == []


def test_a_link_that_is_there_already_leads_nothing_out(tmp_path, folder):
    (tmp_path / "elsewhere").mkdir()
    (folder / "release").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnpackError, match="outside"):
        unpack(packed(tmp_path / "release.zip"), folder)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (folder / "release").unlink()
    (folder / "release").mkdir()
    (folder / "release" / "a.jpg").symlink_to(tmp_path / "elsewhere" / "not-there.jpg")
    with pytest.raises(UnpackError, match="release/a.jpg: in .* and other than"):
        unpack(packed(tmp_path / "release.zip"), folder)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_two_files_of_one_name_are_refused_also_where_case_does_not_count(tmp_path, folder):
    with pytest.raises(UnpackError, match="twice"):
        unpack(packed(tmp_path / "release.zip", {"release/a.jpg": b"1", "release/A.JPG": b"2"}), folder)


def test_an_encrypted_archive_is_refused(tmp_path, folder):
    archive = packed(tmp_path / "release.zip", {"release/a.jpg": b"1"})
    raw = bytearray(archive.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    archive.write_bytes(raw)
    with pytest.raises(UnpackError, match="is encrypted"):
        unpack(archive, folder)


def test_what_is_there_and_the_same_is_left_and_the_rest_unpacked(tmp_path, folder):
    archive = packed(tmp_path / "release.zip")
    unpack(archive, folder)
    os.utime(folder / "release/a.jpg", (1, 1))
    (folder / "release/deep/b.jpg").unlink()
    (folder / "release/mine.txt").write_text("mine")
    unpack(archive, folder)
    assert below(folder) == FILES | {"release/mine.txt": b"mine"}
    assert (folder / "release/a.jpg").stat().st_mtime == 1  # not written again


@pytest.mark.parametrize("mine", [b"mine", b"x" * 5000])
def test_what_is_there_and_differs_stops_it_before_anything_is_written(tmp_path, folder, mine):
    (folder / "release").mkdir()
    (folder / "release/a.jpg").write_bytes(mine)
    with pytest.raises(UnpackError, match=r"release/a.jpg: .*release.zip. Move or delete"):
        unpack(packed(tmp_path / "release.zip"), folder)
    assert below(folder) == {"release/a.jpg": mine}


def test_a_folder_in_place_of_a_file_stops_it(tmp_path, folder):
    (folder / "release/a.jpg").mkdir(parents=True)
    with pytest.raises(UnpackError, match="release/a.jpg"):
        unpack(packed(tmp_path / "release.zip"), folder)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_archive_is_named(tmp_path, folder, keep):
    archive = packed(tmp_path / "release.zip", {"release/a.jpg": os.urandom(9999)})
    raw = archive.read_bytes()
    archive.write_bytes(raw[: int(keep * len(raw)) if keep < 1 else keep])
    with pytest.raises(UnpackError, match=f"{archive} is broken.*Delete it"):
        unpack(archive, folder)
    assert below(folder) == {}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_is_found_and_half_a_file_does_not_stay(tmp_path, folder, method):
    archive = packed(tmp_path / "release.zip", {"release/a.jpg": b"1", "release/b.jpg": os.urandom(50_000)}, compress_type=method)
    raw = bytearray(archive.read_bytes())
    raw[25_000] ^= 1
    archive.write_bytes(raw)
    with pytest.raises(UnpackError, match=f"{archive} is broken"):
        unpack(archive, folder)
    assert below(folder) == {"release/a.jpg": b"1"}


def test_an_archive_that_lies_about_its_size_writes_no_more_than_it_said(tmp_path, folder):
    archive = packed(tmp_path / "release.zip", {"release/a.jpg": bytes(10_000_000)})
    raw = archive.read_bytes().replace((10_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    archive.write_bytes(raw)
    with pytest.raises(UnpackError, match="is broken"):
        unpack(archive, folder)
    assert below(folder) == {}


def test_a_bomb_does_not_fill_the_disk(tmp_path, folder):
    archive = packed(tmp_path / "release.zip", {"release/a.jpg": b"1"})
    with zipfile.ZipFile(archive, "a", allowZip64=True) as bundle:
        bundle.writestr("release/b.jpg", b"2")
        bundle.filelist[1].file_size = 1 << 60
    with pytest.raises(UnpackError, match=r"1152921504\.6 GB are needed to unpack. Make room"):
        unpack(archive, folder)
    assert below(folder) == {}


def test_room_is_told_in_the_words_of_the_rest(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(unpacking, "free_bytes", lambda folder: 2500)
    with pytest.raises(UnpackError, match=r"has 2.5 kB free, 5.0 kB are needed to unpack. Make room"):
        unpack(packed(tmp_path / "release.zip"), folder)


@pytest.mark.parametrize("method", [9, 12, 14, 99])  # Deflate64, bzip2, LZMA, and encryption's
def test_an_unknown_compression_is_said_and_what_another_program_unpacked_will_do(tmp_path, folder, method):
    archive = packed(tmp_path / "release.zip", {"release/a.jpg": b"1"})
    raw = bytearray(archive.read_bytes())
    for at in (8, raw.index(b"PK\x01\x02") + 10):
        raw[at : at + 2] = method.to_bytes(2, "little")
    archive.write_bytes(raw)
    with pytest.raises(UnpackError, match=rf"'release/a.jpg' is compressed in a way that.*method {method}.*another program"):
        unpack(archive, folder)
    assert below(folder) == {}
    (folder / "release").mkdir()
    (folder / "release/a.jpg").write_bytes(b"1")
    assert unpack(archive, folder) == {"release/a.jpg": (1, zlib.crc32(b"1"))}


def test_what_changed_since_is_found(folder):
    for name, content in {"same": b"1", "longer": b"12", "other": b"x"}.items():
        (folder / name).write_bytes(content)
    contents = {name: (1, zlib.crc32(b"1")) for name in ("same", "longer", "other", "gone")}
    assert unpacking.compare(folder, contents) == (["gone"], ["longer", "other"])
