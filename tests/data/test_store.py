"""The pixel store on disk: what an interruption, a full disk, a broken copy and a second builder do to it."""

import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionkit.data import decoding, pixels, store

COUNT, SIZE = 20, 16
ROW = SIZE * SIZE * 3  # bytes


@pytest.fixture
def archive(tmp_path):
    """Twenty images, the eighth of them no image, and their index."""
    root, rng = tmp_path / "data", np.random.default_rng(0)
    root.mkdir()
    for i in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(root / f"i{i}.jpg")
    (root / "i7.jpg").write_bytes(b"no image")
    ids = [f"i{i}" for i in range(COUNT)]
    return pd.DataFrame({"image_id": ids, "path": [f"{image_id}.jpg" for image_id in ids]}), root


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Two rows a checksum, four a write."""
    monkeypatch.setattr(store, "BLOCK", 2)
    monkeypatch.setattr(pixels, "_CHUNK", 4)


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded, as they are."""
    names, whole = [], decoding.decode
    monkeypatch.setattr(pixels, "decode", lambda path, *rest: names.append(path.name) or whole(path, *rest))
    return names


def build(archive, folder, size=SIZE, progress=None):
    return pixels.build(*archive, folder, size, "squash", workers=2, progress=progress)


def stop_at(row):
    def progress(done, total):
        if done >= row:
            raise KeyboardInterrupt

    return progress


def stopped(archive, folder, row=8):
    """Begin a store and stop while the rows from `row` are being written."""
    with pytest.raises(KeyboardInterrupt):
        build(archive, folder, progress=stop_at(row))
    return store.Files.of(folder, SIZE, "squash")


def assert_equal(folder, whole):
    """The stores of two folders are the same to the byte."""
    for name in ("16px_squash.npy", "16px_squash.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert {file.name for file in folder.iterdir()} == {".16px_squash.lock", "16px_squash.npy", "16px_squash.json"}


@pytest.fixture
def whole(archive, tmp_path):
    """The folder of a store built without interruption."""
    build(archive, tmp_path / "whole")
    return tmp_path / "whole"


def test_an_interrupted_build_goes_on_and_decodes_no_image_twice(archive, whole, tmp_path, decoded):
    files = stopped(archive, tmp_path / "store")
    with pytest.raises(FileNotFoundError):
        pixels.Pixels.open(tmp_path / "store", SIZE, "squash")
    assert len(decoded) == 12 and files.partial.stat().st_size < 128 + 12 * ROW + 1
    calls = []
    resumed = build(archive, tmp_path / "store", progress=lambda *call: calls.append(call))
    assert sorted(decoded) == sorted(archive[0]["path"])
    assert calls == [(12, COUNT), (16, COUNT), (COUNT, COUNT)]
    assert resumed.failures["image_id"].tolist() == ["i7"]
    assert_equal(tmp_path / "store", whole)


def test_every_moment_of_interruption_ends_in_the_same_store(archive, whole, tmp_path):
    for row in range(0, COUNT + 1, 4):
        stopped(archive, tmp_path / str(row), row)
        build(archive, tmp_path / str(row))
        assert_equal(tmp_path / str(row), whole)


KILLED = """
import os, signal, sys
import pandas as pd
from lesionkit.data import decoding, pixels, store
store.BLOCK, pixels._CHUNK = 2, 4
def kill(done, total):
    if done >= 8:
        os.kill(os.getpid(), signal.SIGKILL)
pixels.build(pd.read_csv(sys.argv[1]), sys.argv[2], sys.argv[3], 16, "squash", workers=2, progress=kill)
"""


def test_a_killed_build_goes_on(archive, whole, tmp_path, decoded):
    archive[0].to_csv(tmp_path / "index.csv", index=False)
    command = [sys.executable, "-c", KILLED, tmp_path / "index.csv", archive[1], tmp_path / "store"]
    assert subprocess.run(command, timeout=60).returncode == -signal.SIGKILL
    build(archive, tmp_path / "store")  # the lock of the dead is no hindrance
    assert len(decoded) in (8, 12)  # of 20: the rows 8 to 11 may have been on their way to the disk
    assert_equal(tmp_path / "store", whole)


@pytest.mark.parametrize(
    "harm, kept",
    [
        (lambda files: os.truncate(files.partial, files.partial.stat().st_size - 1), 8),
        (lambda files: files.partial.write_bytes(files.partial.read_bytes() + b"half a chunk"), 12),
        (lambda files: files.partial.write_bytes(files.partial.read_bytes()[:-ROW] + bytes(ROW)), 8),
        (lambda files: os.truncate(files.partial, 128), 0),
        (lambda files: files.partial.unlink(), 0),
        (lambda files: os.truncate(files.log, files.log.stat().st_size - 5), 8),
        (lambda files: files.log.unlink(), 0),
    ],
    ids=["cut", "too long", "zeros at the end", "only a header", "no rows", "log cut", "no log"],
)
def test_only_rows_that_are_whole_are_taken_up(archive, whole, tmp_path, decoded, harm, kept):
    harm(stopped(archive, tmp_path / "store"))
    decoded.clear()
    build(archive, tmp_path / "store")
    assert len(decoded) == COUNT - kept
    assert_equal(tmp_path / "store", whole)


def test_other_sources_start_anew(archive, tmp_path, decoded):
    stopped(archive, tmp_path / "store")
    index, root = archive
    os.utime(root / "i2.jpg", (1, 1))  # nothing tells that the content is the same
    decoded.clear()
    build(archive, tmp_path / "store")
    assert len(decoded) == COUNT
    stopped((index.iloc[::-1], root), tmp_path / "store")
    decoded.clear()
    assert build((index.iloc[1:], root), tmp_path / "store").image_ids == index["image_id"].tolist()[1:]
    assert len(decoded) == COUNT - 1


def test_of_two_builders_one_decodes_and_both_have_the_store(archive, tmp_path, decoded):
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: build(archive, tmp_path / "store"), range(2))
    assert first.fingerprint == second.fingerprint and len(decoded) == COUNT


def test_sizes_share_nothing(archive, whole, tmp_path, decoded):
    small = build(archive, whole, 8)
    assert len(decoded) == COUNT and small.images.shape == (COUNT, 8, 8, 3)
    assert pixels.Pixels.open(whole, SIZE, "squash").images.shape == (COUNT, SIZE, SIZE, 3)


def test_fingerprint_is_the_hash_of_ids_and_pixels(archive, whole):
    opened = pixels.Pixels.open(whole, SIZE, "squash")
    content = "\n".join(archive[0]["image_id"]).encode() + opened.images.tobytes()
    assert opened.fingerprint == hashlib.blake2b(content, digest_size=16).hexdigest()
    assert (np.load(whole / "16px_squash.npy") == opened.images).all()


def test_a_full_disk_leaves_what_was_written_and_says_what_to_do(archive, whole, tmp_path, decoded):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10 * ROW, hard))  # no file may be longer
        with pytest.raises(OSError, match=r"16px_squash.npy.*after 8 of 20 images; make room") as caught:
            build(archive, tmp_path / "store")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    decoded.clear()
    build(archive, tmp_path / "store")
    assert len(decoded) == 12
    assert_equal(tmp_path / "store", whole)


def zeros(file, row):
    with file.open("r+b") as array:
        array.seek(128 + row * ROW)
        array.write(bytes(ROW))


@pytest.mark.parametrize(
    "harm",
    [
        lambda file: os.truncate(file, file.stat().st_size - 1),
        lambda file: file.write_bytes(file.read_bytes() + b"\0"),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(bytes(file.stat().st_size)),
        lambda file: zeros(file, 0),
        lambda file: zeros(file, 10),
        lambda file: zeros(file, COUNT - 1),
    ],
    ids=["cut", "too long", "empty", "zeros", "first row", "middle row", "last row"],
)
def test_damage_is_seen_when_the_store_is_opened_and_mended_by_a_build(archive, whole, tmp_path, harm):
    build(archive, tmp_path / "store")
    harm(tmp_path / "store" / "16px_squash.npy")
    with pytest.raises(ValueError, match="16px_squash.npy is damaged"):
        pixels.Pixels.open(tmp_path / "store", SIZE, "squash")
    build(archive, tmp_path / "store")
    assert_equal(tmp_path / "store", whole)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"image_ids": 5}', "\0" * 100])
def test_a_broken_sidecar_is_damage_too(whole, content):
    (whole / "16px_squash.json").write_text(content)
    with pytest.raises(ValueError, match="damaged"):
        pixels.Pixels.open(whole, SIZE, "squash")


def test_a_sidecar_without_an_entry_is_damage_and_mended_by_a_build(archive, whole):
    content = json.loads((whole / "16px_squash.json").read_text())
    for key in content.keys() - {*decoding.Input._fields}:
        rest = {other: content[other] for other in content if other != key}
        (whole / "16px_squash.json").write_text(json.dumps(rest))
        with pytest.raises(ValueError, match=f"damaged.*{key}"):
            pixels.Pixels.open(whole, SIZE, "squash")
        build(archive, whole)
        assert json.loads((whole / "16px_squash.json").read_text()) == content


def test_a_store_takes_hardly_more_than_its_pixels(archive, tmp_path):
    index, root = archive
    many = pd.concat([index.assign(image_id=f"ISIC_{i}_" + index["image_id"]) for i in range(10)])
    pixels.build(many, root, tmp_path / "store", 64, "squash")
    taken = sum(os.stat(file).st_size for file in (tmp_path / "store").iterdir())
    assert len(many) * 64 * 64 * 3 <= taken <= 1.1 * len(many) * 64 * 64 * 3
