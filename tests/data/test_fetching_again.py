"""A second `lesionkit data fetch`: after a failure, beside another, and once a server answers that did not."""

import json

import pytest

from lesionkit.data import checking, fetching, parts, releases, unpacking
from lesionkit.data.downloading import Client

from .published import API, HAM, TABLE, below
from .server import Stored

ZIPS = {f"HAM10000_images_part_{part}.zip": f"/api/access/datafile/{part + 1}" for part in (1, 2)}


def entries(folder, release="HAM10000", host="dataverse"):
    return json.loads((folder / "fetched.json").read_text())[release][host]


@pytest.fixture
def by_hand(site, call, tmp_path, monkeypatch):
    """A folder of what was put there by hand, fetched while no server answered; returns what was said."""
    for name, path in ZIPS.items():
        (tmp_path / name).write_bytes(site.files[path].body)
    (tmp_path / "HAM10000_metadata.csv").write_bytes(TABLE)
    with monkeypatch.context() as offline:
        offline.setitem(releases.HOSTS, "dataverse", "http://127.0.0.1:9")
        code, out, _ = call("ham10000", "--to", tmp_path)
        assert code == 0
        again = call("ham10000", "--to", tmp_path)
        assert again[0] == 0 and "is whole" in again[1] and again[1].count("not compared: Harvard Dataverse did not answer") == 3
    return out


def test_what_no_server_vouched_for_is_said_and_noted_and_compared_later(site, call, tmp_path, by_hand):
    assert by_hand.count("not compared: Harvard Dataverse did not answer") == 3 and "no hash is published" not in by_hand
    assert {entry["compared"] for entry in entries(tmp_path).values()} == {"not yet"}
    (tmp_path / "HAM10000_images_part_2.zip").unlink()  # of what it was, enough is noted
    code, out, _ = call("ham10000", "--to", tmp_path)
    assert code == 0 and all(f"{name}: MD5 as published" in out for name in ZIPS) and "metadata.tab: no hash is published" in out
    assert [entry["compared"] for entry in entries(tmp_path).values()] == ["no hash", "md5", "md5"]
    assert [path for path, _ in site.asked] == [API]
    code, out, _ = call("ham10000", "--to", tmp_path)
    assert code == 0 and "MD5" not in out and len(site.asked) == 1  # it is compared once


def test_what_turns_out_not_to_be_the_published_one_is_named(site, call, tmp_path, by_hand):
    answer = json.loads(site.files[API].body)
    answer["data"]["latestVersion"]["files"][1]["dataFile"]["md5"] = "0" * 32
    site.files[API] = Stored(json.dumps(answer).encode())
    for _ in range(2):
        code, _, err = call("ham10000", "--to", tmp_path)
        assert code == 1 and "HAM10000_images_part_1.zip, put into" in err and f"published is {'0' * 32}" in err
        assert "Move or delete there HAM10000_images_part_1, HAM10000_images_part_1.zip, and" in err


def test_of_isic_the_size_is_compared_later(site, call, tmp_path, monkeypatch):
    for path, file in site.files.items():
        if path.startswith("/2019/"):
            (tmp_path / path.rpartition("/")[2]).write_bytes(file.body)
    with monkeypatch.context() as offline:
        offline.setitem(releases.HOSTS, "isic", "http://127.0.0.1:9")
        assert "not compared: ISIC's storage did not answer" in call("isic2019", "--to", tmp_path)[1]
    path = "/2019/ISIC_2019_Training_Input.zip"
    site.files[path] = Stored(site.files[path].body + b"more")
    size = site.files[path].size
    code, _, err = call("isic2019", "--to", tmp_path)
    assert code == 1 and "ISIC_2019_Training_Input.zip, put into" in err and f"has {size - 4:,} bytes, {size:,} are published" in err


def stopped_by_a_full_disk(monkeypatch):
    monkeypatch.setattr(unpacking, "free_bytes", lambda folder: 0)


def stopped_in_the_middle(monkeypatch):
    def killed(*args):
        raise OSError("killed")

    monkeypatch.setattr(unpacking, "unpack", killed)


def stopped_before_the_archive_is_in_place(monkeypatch):
    finish = parts.Part.finish

    def killed(part):
        if part.target.suffix == ".zip":
            raise OSError("killed")
        finish(part)

    monkeypatch.setattr(parts.Part, "finish", killed)


@pytest.mark.parametrize("stopped", [stopped_by_a_full_disk, stopped_in_the_middle, stopped_before_the_archive_is_in_place])
def test_what_was_downloaded_before_a_failure_is_not_taken_for_the_users(site, call, tmp_path, monkeypatch, stopped):
    with monkeypatch.context() as failing:
        stopped(failing)
        assert call("ham10000", "--to", tmp_path)[0] == 1
    site.asked.clear()
    assert call("ham10000", "--to", tmp_path)[0] == 0 and below(tmp_path) == HAM  # no archive is left
    assert ZIPS["HAM10000_images_part_1.zip"] not in [path for path, _ in site.asked]  # nor came a second time
    assert not any(entry["by_hand"] for entry in entries(tmp_path).values())


def test_an_archive_that_the_user_puts_in_place_of_ours_stays(site, call, tmp_path, monkeypatch):
    with monkeypatch.context() as failing:
        stopped_by_a_full_disk(failing)
        assert call("isic2019", "--to", tmp_path)[0] == 1
    archive = tmp_path / "ISIC_2019_Training_Input.zip"
    mine = archive.read_bytes().replace(b"ISIC_0000002", b"ISIC_0000003")  # as long, and another
    archive.write_bytes(mine)
    assert call("isic2019", "--to", tmp_path)[0] == 0 and archive.read_bytes() == mine
    assert entries(tmp_path, "ISIC 2019 training", "isic")[archive.name]["by_hand"]


def test_a_plan_that_waited_while_another_fetch_worked_fetches_nothing_again(site, tmp_path):
    release, said = releases.RELEASES["ham10000"], []
    one, two = (fetching.plan(release, release.source(""), tmp_path, Client(), lambda *now: None) for _ in range(2))
    fetching.carry_out(one, Client(), said.append, lambda *now: None)
    site.asked.clear()
    said.clear()
    fetching.carry_out(two, Client(), said.append, lambda *now: None)
    assert site.asked == [] and [text.partition(": ")[2] for text in said] == ["whole, by another fetch"] * 3
    assert below(tmp_path) == HAM and len(checking.check(tmp_path).readings[0].index) == 4


@pytest.mark.parametrize("damage", [{"bytes": "9"}, {"contents": {"a": "x y"}}, {"contents": {"a": "1"}}, {"contents": []}, {"when": None},
                                    {"compared": "?"}])  # fmt: skip
def test_a_damaged_entry_is_no_fault_of_the_command(site, call, tmp_path, damage):
    call("isic2019", "--to", tmp_path)
    record = json.loads((tmp_path / "fetched.json").read_text())
    record["ISIC 2019 training"]["isic"]["ISIC_2019_Training_Input.zip"] |= damage
    (tmp_path / "fetched.json").write_text(json.dumps(record))
    code, _, err = call("isic2019", "--to", tmp_path)
    assert code == 1 and "fetched.json cannot be read" in err and "Delete it" in err and "--source" not in err
    (tmp_path / "fetched.json").unlink()
    assert call("isic2019", "--to", tmp_path)[0] == 0
