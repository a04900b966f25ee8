import os

import pytest

from lesionkit.workbook import hashes
from lesionkit.workbook.hashes import Hashes
from lesionkit.workbook.manifest import file_hash


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "a.txt").write_text("one")
    (tmp_path / "data" / "deep" / "b.txt").write_text("two")
    return tmp_path / "data"


def of(folder):
    return Hashes(folder / "no cache").of_folder(folder)


def test_a_file_is_read_once_also_by_the_next_process(folder, tmp_path, monkeypatch):
    first = Hashes(tmp_path / "hashes.json")
    assert first.of(folder / "a.txt") == file_hash(folder / "a.txt")
    first.save()
    monkeypatch.setattr(hashes, "file_hash", lambda path: pytest.fail("read again"))
    assert Hashes(tmp_path / "hashes.json").of(folder / "a.txt") == first.of(folder / "a.txt")


def test_a_file_of_the_same_size_with_another_time_is_read_again(folder, tmp_path):
    cache = Hashes(tmp_path / "hashes.json")
    before = cache.of(folder / "a.txt")
    (folder / "a.txt").write_text("1ne")
    os.utime(folder / "a.txt", ns=(1, 1))
    assert cache.of(folder / "a.txt") == file_hash(folder / "a.txt") != before


def test_what_is_not_there_has_no_hash(tmp_path):
    cache = Hashes(tmp_path / "hashes.json")
    assert cache.of(tmp_path / "no.txt") is None
    assert cache.of_folder(tmp_path / "no") is None and cache.of_folder(None) is None


def test_a_broken_cache_is_no_harm(folder, tmp_path):
    (tmp_path / "hashes.json").write_text("{broken")
    assert Hashes(tmp_path / "hashes.json").of(folder / "a.txt") == file_hash(folder / "a.txt")


def test_a_folder_is_its_names_and_contents_wherever_it_lies(folder, tmp_path):
    before = of(folder)
    os.utime(folder / "a.txt", ns=(1, 1))
    (folder / ".hidden").write_text("x")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "a.txt").write_text("of no reader")
    folder.rename(tmp_path / "moved")
    assert of(tmp_path / "moved") == before
    (tmp_path / "moved" / "a.txt").rename(tmp_path / "moved" / "c.txt")
    assert of(tmp_path / "moved") != before


def test_a_link_back_up_does_not_go_round_for_ever(folder):
    before = of(folder)
    (folder / "deep" / "up").symlink_to(folder)
    assert of(folder) == before


def test_many_new_files_are_announced(folder, monkeypatch, capsys):
    monkeypatch.setattr(hashes, "MANY", 1)
    of(folder)
    assert "reading 2 new files" in capsys.readouterr().err
