"""`lesionkit data fetch`, from a local server in place of ISIC's storage and Harvard Dataverse."""

import functools
import hashlib
import io
import json
import os
import random
import sys
import types
import zipfile
import zlib

import pytest
from filelock import FileLock
from PIL import Image

from lesionkit import cli
from lesionkit.cli.fetching import Progress
from lesionkit.data import checking, downloading, fetching, masks, releases

from .releases import HAM_HEADER, HAM_ROWS, ISIC_LABELS, ham_names, one_hot
from .server import Site, Stored, serving

API = "/api/datasets/:persistentId/?persistentId=doi:10.7910/DVN/DBW86T"
TABLE = "\n".join([HAM_HEADER, *HAM_ROWS]).encode()


def image():
    file = io.BytesIO()
    Image.frombytes("RGB", (64, 48), random.Random(3).randbytes(64 * 48 * 3)).save(file, "jpeg")
    return file.getvalue()


def packed(**files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)
    return archive.getvalue()


def images(folder, *names):
    return packed(**{folder + name: image() for name in names})


def listed(files):
    """What Dataverse's API says of files: (label, id, body, more)."""
    entries = [
        {"label": label, "restricted": False, "dataFile": {
            "id": number, "filename": label, "filesize": len(body), "md5": hashlib.md5(body).hexdigest(), **more}}
        for label, number, body, more in files
    ]  # fmt: skip
    return Stored(json.dumps({"status": "OK", "data": {"latestVersion": {"files": entries}}}).encode())


def dataverse():
    table = {"originalFileFormat": "text/csv", "originalFileName": "HAM10000_metadata", "originalFileSize": len(TABLE),
             "filesize": 7, "md5": "0" * 32}  # fmt: skip
    mask = "HAM10000_segmentations_lesion_tschandl"
    files = [
        ("HAM10000_metadata.tab", 1, TABLE, table),
        ("HAM10000_images_part_1.zip", 2, images("", *ham_names(1, 2)), {}),
        ("HAM10000_images_part_2.zip", 3, images("", *ham_names(3, 4)), {}),
        (f"{mask}.zip", 4, packed(**{f"{mask}/ISIC_0000001_segmentation.png": b"png", f"__MACOSX/{mask}/._x.png": b"x"}), {}),
    ]
    bodies = {f"/api/access/datafile/{number}" + "?format=original" * bool(more): Stored(body) for _, number, body, more in files}
    return {API: listed(files)} | bodies


def isic2019():
    labels = [",".join(["image", *ISIC_LABELS]), *(one_hot(f"ISIC_{i:07}", "MEL") for i in (1, 2))]
    return {
        "/2019/ISIC_2019_Training_GroundTruth.csv": Stored("\n".join(labels).encode()),
        "/2019/ISIC_2019_Training_Metadata.csv": Stored(b"image,age_approx,anatom_site_general,lesion_id,sex\n"
                                                        b"ISIC_0000001,30,,HAM_1,male\nISIC_0000002,30,,BCN_2,male\n"),
        "/2019/ISIC_2019_Training_Input.zip": Stored(images("ISIC_2019_Training_Input/", *ham_names(1, 2))),
    }  # fmt: skip


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(downloading, "Client", functools.partial(downloading.Client, sleep=lambda seconds: None))
    with serving(Site(dataverse() | isic2019())) as site:
        for host in releases.HOSTS:
            monkeypatch.setitem(releases.HOSTS, host, site.address)
        yield site


@pytest.fixture
def call(capsys):
    """Call `lesionkit data fetch`; returns its exit code, stdout and stderr."""

    def call(*args):
        with pytest.raises(SystemExit) as left:
            cli.main(["data", "fetch", *map(str, args)])
        return (left.value.code or 0, *capsys.readouterr())

    return call


def below(folder):
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file() and not f.name.startswith("."))


HAM = [f"HAM10000_images_part_{part}/ISIC_{i:07}.jpg" for part, i in ((1, 1), (1, 2), (2, 3), (2, 4))]
HAM += ["HAM10000_metadata", "fetched.json"]


def test_ham10000_arrives_as_the_readers_want_it(site, call, tmp_path):
    code, out, err = call("ham10000", "--to", tmp_path)
    assert code == 0 and below(tmp_path) == HAM
    assert out.index("CC BY-NC 4.0") < out.index("MD5 as published") and "doi:10.1038/sdata.2018.161" in out
    assert err == "" and out.endswith(f"Next: lesionkit data check {tmp_path}\n")
    (reading,) = checking.check(tmp_path).readings
    assert len(reading.index) == 4 and reading.index["lesion_id"].nunique() == 3
    record = json.loads((tmp_path / "fetched.json").read_text())["HAM10000"]["dataverse"]
    body = site.files["/api/access/datafile/2"].body
    entry = record["HAM10000_images_part_1.zip"]
    assert entry["from"] == f"{site.address}/api/access/datafile/2" and not entry["by_hand"]
    assert (entry["bytes"], entry["sha256"], entry["md5"]) == (
        len(body), hashlib.sha256(body).hexdigest(), hashlib.md5(body).hexdigest())  # fmt: skip
    photograph = image()
    assert entry["contents"] == {path: f"{len(photograph)} {zlib.crc32(photograph):08x}" for path in HAM[:2]}
    assert record["HAM10000_metadata.tab"]["sha256"] == hashlib.sha256(TABLE).hexdigest()


def test_isic2019_arrives_as_the_readers_want_it(site, call, tmp_path):
    code, out, _ = call("isic2019", "--to", tmp_path)
    assert code == 0 and "ISIC_2019_Training_Input/ISIC_0000002.jpg" in below(tmp_path)
    assert "BCN_20000" in out and "its SHA-256 is noted" in out
    (reading,) = checking.check(tmp_path).readings
    assert reading.record.name == "isic2019" and len(reading.index) == 2


def test_masks_lie_where_a_study_looks_for_them(site, call, tmp_path):
    call("ham10000", "--to", tmp_path)
    assert call("ham10000-masks", "--to", tmp_path)[0] == 0
    found = masks.folder_of(tmp_path, "HAM10000_segmentations_lesion_tschandl")
    assert below(found) == ["ISIC_0000001_segmentation.png"]
    (reading,) = checking.check(tmp_path).readings
    assert len(reading.index) == 4  # masks are no photographs


def test_what_is_whole_is_not_fetched_again_nor_asked_for(site, call, tmp_path):
    call("ham10000", "--to", tmp_path)
    site.asked.clear()
    code, out, _ = call("ham10000", "--to", tmp_path)
    assert code == 0 and "is whole" in out and site.asked == []


def test_what_is_missing_is_fetched_again_and_what_differs_is_not_overwritten(site, call, tmp_path):
    call("ham10000", "--to", tmp_path)
    (tmp_path / HAM[0]).unlink()
    site.asked.clear()
    assert call("ham10000", "--to", tmp_path)[0] == 0 and below(tmp_path) == HAM
    assert [path for path, _ in site.asked] == [API, "/api/access/datafile/2"]
    (tmp_path / HAM[1]).write_bytes(b"mine")
    site.asked.clear()
    code, _, err = call("ham10000", "--to", tmp_path)
    assert code == 1 and HAM[1] in err and "other than fetched on 20" in err and "Move or delete" in err
    assert (tmp_path / HAM[1]).read_bytes() == b"mine" and site.asked == []


def test_a_broken_download_says_how_to_go_on_and_the_same_command_does(site, call, tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "CHUNK", 64)
    site.at = "/2019/.*zip"
    site.faults.extend([{}, {"cut": 1000}, *[{"cut": 0}] * 5])  # the first is asked for the size
    code, _, err = call("isic2019", "--to", tmp_path)
    url = site.address + "/2019/ISIC_2019_Training_Input.zip"
    part = tmp_path / "ISIC_2019_Training_Input.zip.part"
    assert code == 1 and f"ISIC_2019_Training_Input.zip from {url}" in err and f"lie in {part}: the same command goes on" in err
    assert f"save in {tmp_path}" in err and "give the same command again" in err and "trying again in 1 s" in err
    came = part.stat().st_size
    assert 900 < came <= 1000
    site.asked.clear()
    code, out, _ = call("isic2019", "--to", tmp_path)
    assert code == 0 and "GroundTruth.csv: " not in out  # that one had come
    assert site.ranges() == ["bytes=0-0", f"bytes={came}-"]
    assert not part.exists() and "ISIC_2019_Training_Input/ISIC_0000002.jpg" in below(tmp_path)


def test_without_a_network_files_put_there_by_hand_do(site, call, tmp_path, monkeypatch):
    for host in releases.HOSTS:
        monkeypatch.setitem(releases.HOSTS, host, "http://127.0.0.1:9")
    folder = tmp_path / "data"
    code, out, err = call("ham10000", "--to", folder)
    assert code == 1 and "no connection to 127.0.0.1:9" in err and "persistentId=doi:10.7910/DVN/DBW86T" in err
    assert all(f"    {name} from https://" in err for name in releases.RELEASES["ham10000"].sources[0].files)
    assert "--source isic or --source kaggle" in err and not folder.exists()
    folder.mkdir()
    for number in (2, 3):
        (folder / f"HAM10000_images_part_{number - 1}.zip").write_bytes(site.files[f"/api/access/datafile/{number}"].body)
    code, _, err = call("ham10000", "--to", folder)
    assert code == 1 and "    HAM10000_metadata.tab from" in err and "part_1.zip from" not in err
    (folder / "HAM10000_metadata.csv").write_bytes(TABLE)
    code, out, _ = call("ham10000", "--to", folder)
    assert code == 0 and "2 files unpacked" in out and len(checking.check(folder).readings[0].index) == 4
    assert (folder / "HAM10000_images_part_1.zip").exists()  # what the user put there stays
    assert json.loads((folder / "fetched.json").read_text())["HAM10000"]["dataverse"]["HAM10000_metadata.tab"]["by_hand"]
    assert "is whole" in call("ham10000", "--to", folder)[1]


def test_by_hand_from_isic_without_a_network(site, call, tmp_path, monkeypatch):
    monkeypatch.setitem(releases.HOSTS, "isic", "http://127.0.0.1:9")
    for path, file in isic2019().items():
        (tmp_path / path.rpartition("/")[2]).write_bytes(file.body)
    assert call("isic2019", "--to", tmp_path)[0] == 0
    assert len(checking.check(tmp_path).readings[0].index) == 2


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


@pytest.mark.parametrize(("answer", "args", "comes"), [("y\n", [], True), ("n\n", [], False), ("", ["--yes"], True)])
def test_a_terminal_is_asked(site, call, tmp_path, monkeypatch, answer, args, comes):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    code, out, _ = call("isic2019", "--to", tmp_path / "new", *args)
    assert "Licence: CC BY-NC 4.0" in out and (code == 0) is comes is (tmp_path / "new").exists()


@pytest.mark.parametrize("args", [["ham"], ["isic2019", "--source", "kaggle"], []])
def test_bad_usage(call, tmp_path, args):
    assert call(*args, "--to", tmp_path / "new")[0] == 2 and not (tmp_path / "new").exists()


def test_a_file_is_no_folder(call, tmp_path):
    (tmp_path / "file").touch()
    assert call("isic2019", "--to", tmp_path / "file")[0] == 2


@pytest.mark.parametrize("text", ["{", "[1]", "5"])
def test_a_record_that_cannot_be_read_is_said(site, call, tmp_path, text):
    (tmp_path / "fetched.json").write_text(text)
    code, _, err = call("isic2019", "--to", tmp_path)
    assert code == 1 and "fetched.json cannot be read" in err and (tmp_path / "fetched.json").read_text() == text


@pytest.fixture
def kagglehub(monkeypatch, tmp_path):
    """In place of the package: `token` and `given`; it fetches nothing."""
    hub = types.ModuleType("kagglehub")
    hub.token, hub.given = "t", []
    hub.dataset_download = lambda handle: hub.given.append(handle) or os.environ["KAGGLEHUB_CACHE"] + "/versions/2"
    config = types.ModuleType("kagglehub.config")
    config.get_kaggle_credentials = lambda: hub.token
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    monkeypatch.setenv("KAGGLEHUB_CACHE", "mine")
    for module in (hub, config):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return hub


def test_kaggle_is_asked_only_with_its_package_and_a_token(call, tmp_path, kagglehub, monkeypatch):
    code, out, _ = call("ham10000", "--to", tmp_path, "--source", "kaggle")
    inner = tmp_path / "kaggle" / "versions" / "2"
    assert code == 0 and "CC BY-NC-SA 4.0" in out and out.endswith(f"data check {inner}\n")
    assert kagglehub.given == ["kmader/skin-cancer-mnist-ham10000"] and os.environ["KAGGLEHUB_CACHE"] == "mine"
    kagglehub.token = None
    code, _, err = call("ham10000", "--to", tmp_path, "--source", "kaggle")
    assert code == 1 and "KAGGLE_API_TOKEN" in err
    kagglehub.token = "t"
    kagglehub.dataset_download = lambda *args, **more: (_ for _ in ()).throw(RuntimeError("403"))
    code, _, err = call("ham10000", "--to", tmp_path, "--source", "kaggle")
    assert code == 1 and "did not come: 403" in err and "By hand" in err
    for name in ("kagglehub", "kagglehub.config"):
        monkeypatch.setitem(sys.modules, name, None)
    code, _, err = call("ham10000", "--to", tmp_path, "--source", "kaggle")
    assert code == 1 and "pip install 'lesionkit[kaggle]'" in err


@pytest.mark.parametrize(("live", "seconds", "shown"), [
    (True, 0.1, ["\rf: 0 bytes of 4.0 MB\033[K", "\rf: 2.0 MB of 4.0 MB, 10.0 MB/s\033[K", "\rf: 4.0 MB of 4.0 MB, 10.0 MB/s\033[K\n"]),
    (False, 0.1, []), (False, 20, ["f: 2.0 MB of 4.0 MB, 50.0 kB/s\n", "f: 4.0 MB of 4.0 MB, 50.0 kB/s\n"]),
])  # fmt: skip
def test_progress_is_a_line_on_a_terminal_and_few_in_a_log(monkeypatch, capsys, live, seconds, shown):
    progress, now = Progress(), iter(range(99))
    monkeypatch.setattr("lesionkit.cli.fetching.time", types.SimpleNamespace(monotonic=lambda: seconds * next(now)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: live)
    for done in range(5):
        progress("f", done * 1_000_000, 4_000_000)
    assert capsys.readouterr().err == "".join(shown)
