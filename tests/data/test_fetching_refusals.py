"""What `lesionkit data fetch` refuses: bytes that are not the published ones, names that leave the folder, a full disk."""

import pytest
from filelock import FileLock

from lesionkit.data import downloading, fetching, releases

from .published import API, HAM, TABLE, below, isic2019, listed, packed
from .server import Stored


@pytest.mark.parametrize("spoil", [lambda body: body[:-9], lambda body: body[:-1] + bytes([body[-1] ^ 1])])
def test_a_file_put_there_that_is_not_the_published_one_is_named_and_kept(site, call, tmp_path, spoil):
    mine = spoil(site.files["/api/access/datafile/2"].body)
    (tmp_path / "HAM10000_images_part_1.zip").write_bytes(mine)
    code, _, err = call("ham10000", "--to", tmp_path)
    assert code == 1 and "HAM10000_images_part_1.zip has " in err and "published" in err and "Move or delete it" in err
    assert (tmp_path / "HAM10000_images_part_1.zip").read_bytes() == mine


def test_wrong_bytes_from_dataverse_are_found_by_their_md5(site, call, tmp_path):
    file = site.files["/api/access/datafile/3"]
    site.files["/api/access/datafile/3"] = Stored(bytes(len(file.body)))
    code, _, err = call("ham10000", "--to", tmp_path)
    assert code == 1 and "HAM10000_images_part_2.zip did not come: it came twice, and its MD5 is" in err
    assert below(tmp_path) == [*HAM[:2], *HAM[4:]]  # the others are in place, and noted


def test_wrong_bytes_from_isic_are_found_by_the_archive(site, call, tmp_path):
    path = "/2019/ISIC_2019_Training_Input.zip"
    body = bytearray(site.files[path].body)
    body[len(body) // 2] ^= 1
    site.files[path] = Stored(bytes(body))
    code, _, err = call("isic2019", "--to", tmp_path)
    assert code == 1 and "ISIC_2019_Training_Input.zip is broken" in err and "Delete it and give the same command again" in err
    (tmp_path / "ISIC_2019_Training_Input.zip").unlink()
    site.files[path] = isic2019()[path]
    assert call("isic2019", "--to", tmp_path)[0] == 0


def test_a_length_that_is_too_short_is_found_by_the_archive(site, call, tmp_path):
    site.at = "/2019/.*zip"
    site.faults.extend([{"no_range": True, "headers": {"Content-Length": "500"}}] * 2)  # asked for the size, and for the file
    code, _, err = call("isic2019", "--to", tmp_path)
    assert code == 1 and "is broken" in err and not (tmp_path / "ISIC_2019_Training_Input").exists()


def test_an_archive_that_would_leave_the_folder_is_not_unpacked(site, call, tmp_path):
    site.files["/2019/ISIC_2019_Training_Input.zip"] = Stored(packed(**{"../../evil.jpg": b"x"}))
    code, _, err = call("isic2019", "--to", tmp_path / "a" / "b")
    assert code == 1 and "would leave the folder" in err and not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("name", ["../HAM10000_metadata", "/HAM10000_metadata", ".HAM10000_metadata", "a\\HAM10000_metadata"])
def test_a_server_cannot_name_a_file_outside_the_folder(site, call, tmp_path, name):
    table = {"originalFileFormat": "text/csv", "originalFileName": name}
    others = [(f"HAM10000_images_part_{i}.zip", i, b"", {}) for i in (1, 2)]
    site.files[API] = listed([("HAM10000_metadata.tab", 1, TABLE, table), *others])
    code, _, err = call("ham10000", "--to", tmp_path)
    assert code == 1 and "leads out of a folder" in err and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("answer", "message"), [
    (b"<html>maintenance", "something else than JSON"), (b'{"status": "ERROR"}', "a form that is not known"), (b"[]", "not known"),
    (listed([]).body.replace(b"[]", b'[{"label": "HAM10000_metadata.tab"}]'), "not known"),
    (listed([]).body, "no longer lists HAM10000_metadata.tab, HAM10000_images_part_1.zip"),
])  # fmt: skip
def test_what_dataverse_says_otherwise_is_said(site, call, tmp_path, answer, message):
    site.files[API] = Stored(answer)
    code, _, err = call("ham10000", "--to", tmp_path / "new")
    assert code == 1 and message in err and "By hand" in err and not (tmp_path / "new").exists()


def test_too_full_a_disk_is_said_before_anything_is_fetched(site, call, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "free_bytes", lambda folder: 1000)
    code, _, err = call("isic2019", "--to", tmp_path)
    assert code == 1 and "1.0 kB free, about" in err and "Make room" in err and below(tmp_path) == []


def test_the_room_needed_is_that_of_all_and_of_the_largest_archive(site, tmp_path):
    release = releases.RELEASES["isic2019"]
    client = downloading.Client()
    plan = fetching.plan(release, release.source(""), tmp_path, client, lambda *now: None)
    sizes = {path: file.size for path, file in isic2019().items()}
    assert plan.needed == sum(sizes.values()) + sizes["/2019/ISIC_2019_Training_Input.zip"]
    (tmp_path / "ISIC_2019_Training_Input.zip.part").write_bytes(bytes(100))
    assert plan.needed == sum(sizes.values()) + sizes["/2019/ISIC_2019_Training_Input.zip"] - 100


def test_only_one_fetch_works_in_a_folder(site, call, tmp_path):
    with FileLock(tmp_path / ".fetch.lock"):
        code, _, err = call("isic2019", "--to", tmp_path)
    assert code == 1 and "another fetch is at work" in err and below(tmp_path) == []
