"""`lesionkit data fetch`, from a local server in place of ISIC's storage and Harvard Dataverse."""

import hashlib
import io
import json
import sys
import types
import zlib

import pytest

from lesionkit import cli
from lesionkit.cli.fetching import Progress
from lesionkit.data import checking, downloading, masks, releases

from .published import API, HAM, TABLE, below, image, isic2019


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


@pytest.mark.parametrize("source", ["isic", "dataverse"])
def test_the_commands_that_are_named_after_the_test_set_work(site, call, capsys, tmp_path, source):
    code, out, _ = call("isic2018-test", "--to", tmp_path, "--source", source)
    check, validate = (line.partition(": lesionkit ")[2].split() for line in out.splitlines()[-2:])
    assert code == 0 and check[:2] == ["data", "check"] and validate[:2] == ["validate", "outputs/full"]
    cli.app(check, standalone_mode=False)
    text = capsys.readouterr().out
    assert "2 of 2" in text and "No problems." in text and "AKIEC" in text and "VASC" in text
    given = dict(zip(validate[2::2], validate[3::2]))
    assert (given["--images"], given["--labels"]) == (check[2], check[4]) and given["--out"] == "validated"
    assert call("isic2018-test", "--to", tmp_path, "--source", source)[1].endswith("\n".join(out.splitlines()[-2:]) + "\n")


def test_of_masks_it_is_said_where_a_study_finds_them(site, call, tmp_path):
    _, out, _ = call("ham10000-masks", "--to", tmp_path)
    last = out.splitlines()[-1]
    named = last.rpartition("--set masks=")[2]
    assert "data check" not in last and f"if the images lie in {tmp_path} too" in last
    assert masks.folder_of(tmp_path / "elsewhere", named) == tmp_path / "HAM10000_segmentations_lesion_tschandl"


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
