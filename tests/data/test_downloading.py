"""Downloads from a server that cuts, throttles, lies about length, forgets ranges and sends wrong bytes."""

import hashlib
import json
import random
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from lesionkit.data.downloading import CHUNK, ENOUGH, Client, DownloadError, Remote
from lesionkit.data.parts import digests

from .server import Generated, Site, Stored, serving

BODY = random.Random(1).randbytes(3 * ENOUGH + 12_345)
OTHER = random.Random(2).randbytes(3 * ENOUGH + 12_345)
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(Site({"/f": Stored(BODY)})) as site:
        yield site


@pytest.fixture
def client():
    """A client that waits for nothing; `waits` and `said` tell what it would have waited and what it said."""
    client = Client(timeout=(5, 5))
    client.waits, client.said = [], []
    client.sleep, client.say = client.waits.append, client.said.append
    return client


@pytest.fixture
def fetch(site, client, tmp_path):
    def fetch(**known):
        client.download(Remote("f", site.address + "/f", **known), tmp_path / "f")
        assert [file.name for file in tmp_path.iterdir()] == ["f"]  # no leavings
        return (tmp_path / "f").read_bytes()

    return fetch


def nothing_whole(tmp_path):
    return not (tmp_path / "f").exists()


def test_a_file_arrives_whole(site, client, fetch):
    assert fetch(size=len(BODY), md5=MD5) == BODY
    (path, headers), = site.asked
    assert path == "/f" and "Range" not in headers and headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("lesionkit/")  # Harvard Dataverse refuses that of requests
    assert client.waits == []


def test_a_cut_download_goes_on_where_it_was_cut(site, client, fetch):
    site.faults.extend([{"cut": ENOUGH}, {"cut": ENOUGH // 2}, {"cut": 0}])
    assert fetch(size=len(BODY)) == BODY
    assert site.ranges()[0] is None and all(asked.startswith("bytes=") for asked in site.ranges()[1:])
    begins = [int(asked[6:-1]) for asked in site.ranges()[1:]]
    assert ENOUGH - CHUNK <= begins[0] <= ENOUGH < begins[1] == begins[2] <= 3 * ENOUGH // 2
    assert all(headers["If-Range"] == '"one"' for _, headers in site.asked[1:])
    assert len(client.said) == 3 and "trying again in 1 s" in client.said[0]


def test_the_next_call_goes_on_where_the_last_gave_up(site, client, fetch, tmp_path):
    site.faults.extend([{"cut": ENOUGH}, *[{"cut": 0}] * 5])
    with pytest.raises(DownloadError, match="cut|ended"):
        fetch(size=len(BODY))
    assert nothing_whole(tmp_path) and ENOUGH - CHUNK <= (tmp_path / "f.part").stat().st_size <= ENOUGH
    assert len(site.asked) == 6 and client.waits == [1, 2, 4, 8, 16]
    assert fetch(size=len(BODY)) == BODY
    assert site.ranges()[-1].startswith("bytes=") and len(site.asked) == 7


def test_it_does_not_give_up_while_bytes_come(site, client, fetch):
    site.faults.extend([{"cut": ENOUGH // 4}] * 12)
    assert fetch(size=len(BODY)) == BODY and len(site.asked) == 13


def test_what_comes_after_a_part_was_thrown_away_counts_as_progress(site, client, fetch, tmp_path):
    (tmp_path / "f.part").write_bytes(bytes(10 * ENOUGH))
    (tmp_path / "f.part.json").write_text(json.dumps({"version": '"old"'}))
    body = BODY * 4  # more than comes in the attempts that are made where nothing comes
    site.files["/f"] = Stored(body)
    site.faults.extend([{"cut": 3 * ENOUGH // 2}] * 8)
    assert fetch(size=len(body)) == body and len(site.asked) == 9


def test_it_gives_up_where_what_comes_is_thrown_away_for_ever(site, fetch):
    site.faults.extend([{"cut": ENOUGH // 4, "no_range": True}, {"cut": 2 * ENOUGH, "no_range": True}] * 25)
    with pytest.raises(DownloadError):
        fetch(size=len(BODY))
    assert len(site.asked) == 13  # six times in a row it lost what it had


def test_it_gives_up_where_the_same_bytes_come_for_ever(site, fetch):
    site.faults.extend([{"cut": 2 * ENOUGH, "no_range": True}] * 50)
    with pytest.raises(DownloadError):
        fetch(size=len(BODY))
    assert len(site.asked) <= 8


@pytest.mark.parametrize("fault", [{}, {"no_if_range": True}])
@pytest.mark.parametrize("dated", [False, True])
def test_a_file_that_changed_meanwhile_starts_anew(site, client, fetch, tmp_path, fault, dated):
    dates = ["Mon, 01 Jan 2018 00:00:00 GMT", "Tue, 02 Jan 2018 00:00:00 GMT"] if dated else ["", ""]
    site.files["/f"] = Stored(OTHER, "" if dated else '"one"', dates[0])
    site.faults.extend([{"cut": ENOUGH}, *[{"cut": 0}] * 5])
    with pytest.raises(DownloadError):
        fetch(size=len(BODY))
    site.files["/f"] = Stored(BODY, "" if dated else '"two"', dates[1])
    site.faults.append(fault)
    assert fetch(size=len(BODY)) == BODY


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_a_sign_of_the_version_nothing_is_spliced_but_where_a_hash_would_tell(site, fetch, etag):
    site.files["/f"].etag = etag
    site.faults.append({"cut": ENOUGH})
    assert fetch(size=len(BODY)) == BODY and site.ranges() == [None, None]
    site.asked.clear()
    site.faults.append({"cut": ENOUGH})
    assert fetch(size=len(BODY), md5=MD5) == BODY and site.ranges()[1].startswith("bytes=")


@pytest.mark.parametrize("fault", [{"no_range": True}, {"shift": 1000}, {"status": 416}, {"headers": {"Content-Range": "x"}},
                                   {"headers": {"Content-Range": "bytes 5-9/10"}}])  # fmt: skip
def test_a_server_that_is_bad_at_ranges_does_no_harm(site, fetch, fault):
    site.faults.extend([{"cut": ENOUGH}, fault])
    assert fetch(size=len(BODY)) == BODY


def test_a_part_that_is_longer_than_the_file_is_thrown_away(site, client, fetch, tmp_path):
    site.faults.extend([{"cut": ENOUGH}, *[{"cut": 0}] * 5])
    with pytest.raises(DownloadError):
        fetch()
    site.files["/f"] = Stored(BODY[:1000])  # of the same ETag, which no good server would give it
    client.said.clear()
    assert fetch() == BODY[:1000]
    assert len(client.said) == 1 and "bytes had come, and the server says that the file ends before" in client.said[0]


@pytest.mark.parametrize("left", [b"", BODY[:1000], BODY + b"more", b"other" * 99, bytes(len(BODY))])
def test_leavings_of_unknown_origin_are_not_built_upon(site, fetch, tmp_path, left):
    (tmp_path / "f.part").write_bytes(left)
    (tmp_path / "f.part.json").write_text("{")
    assert fetch(size=len(BODY)) == BODY


def test_a_part_that_is_whole_already_is_only_checked(site, fetch, tmp_path):
    (tmp_path / "f.part").write_bytes(BODY)
    assert fetch(size=len(BODY), md5=MD5) == BODY and site.asked == []


@pytest.mark.parametrize("version", ['"one"', '"old"', ""])
def test_a_part_of_full_size_without_a_hash_is_taken_for_this_version_alone(site, fetch, tmp_path, version):
    (tmp_path / "f.part").write_bytes(BODY if version == '"one"' else OTHER)
    (tmp_path / "f.part.json").write_text(json.dumps({"version": version}))
    assert fetch(size=len(BODY)) == BODY
    assert site.ranges() == [f"bytes={len(BODY) - 1}-" if version else None]


@pytest.mark.parametrize("length", [len(BODY) + 999, len(BODY) - 999, 0])
def test_a_length_other_than_published_is_refused(site, fetch, tmp_path, length):
    site.faults.extend([{"headers": {"Content-Length": str(length)}}] * 9)
    with pytest.raises(DownloadError, match=f"{length:,} bytes.*{len(BODY):,} are published"):
        fetch(size=len(BODY))
    assert nothing_whole(tmp_path)


def test_a_length_that_is_too_long_is_found_where_none_is_published(site, fetch, tmp_path):
    site.faults.extend([{"headers": {"Content-Length": str(len(BODY) + 9)}}, *[{"status": 500}] * 9])
    with pytest.raises(DownloadError):
        fetch()
    assert nothing_whole(tmp_path)


@pytest.mark.parametrize("size", [len(BODY), None])
def test_a_body_without_a_length_ends_with_the_connection(site, fetch, size):
    site.faults.append({"headers": {"Content-Length": None}, "cut": len(BODY)})
    assert fetch(size=size) == BODY


def test_too_few_bytes_without_a_length_are_found_where_the_size_is_published(site, fetch, client):
    site.faults.append({"headers": {"Content-Length": None}, "cut": ENOUGH})
    assert fetch(size=len(BODY)) == BODY
    assert f"{ENOUGH:,} bytes came, {len(BODY):,} are published" in client.said[0]


def test_wrong_bytes_are_thrown_away_and_fetched_again_once(site, fetch, client, tmp_path):
    site.faults.append({"body": OTHER})
    assert fetch(size=len(BODY), md5=MD5.upper()) == BODY
    assert MD5 in client.said[0].lower() and hashlib.md5(OTHER).hexdigest() in client.said[0]
    (tmp_path / "f").unlink()
    site.faults.extend([{"body": OTHER}] * 2)
    with pytest.raises(DownloadError, match=f"twice.*{hashlib.md5(OTHER).hexdigest()}.*{MD5}"):
        fetch(size=len(BODY), md5=MD5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("status", "answered"), [(404, "404 Not Found"), (403, "403"), (401, "401"), (202, "202"), (204, "204")])
def test_what_will_not_change_is_said_at_once(site, fetch, client, status, answered):
    site.faults.append({"status": status})
    with pytest.raises(DownloadError, match=f"127.0.0.1:.* answered {answered}"):
        fetch()
    assert len(site.asked) == 1 and client.waits == []


def test_a_busy_server_is_given_the_time_it_asks_for(site, fetch, client):
    later = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=90), usegmt=True)
    asked = [(500, None), (429, "40"), (503, later), (503, "soon")]
    site.faults.extend({"status": status, "headers": {"Retry-After": wait}} for status, wait in asked)
    assert fetch() == BODY
    assert client.waits[:2] == [1, 40] and 80 < client.waits[2] <= 90 and client.waits[3] == 8
    site.faults.append({"status": 429, "headers": {"Retry-After": "86400"}})
    with pytest.raises(DownloadError, match="429.*asks to wait 86,400 s"):
        fetch()


def test_a_slow_server_is_waited_for_and_a_silent_one_is_not(site, fetch, client):
    site.files["/f"] = Stored(BODY[:40_000])
    site.faults.append({"stall": 0.01})
    assert fetch(size=40_000) == BODY[:40_000] and client.said == []
    client.timeout = (5, 0.3)
    site.faults.append({"stall": 1.5})
    assert fetch(size=40_000) == BODY[:40_000]
    assert len(client.said) == 1 and ("no connection" in client.said[0] or "in time" in client.said[0])


def test_no_server_is_said_plainly(client, tmp_path):
    with pytest.raises(DownloadError, match="^no connection to 127.0.0.1:9$"):
        client.download(Remote("f", "http://127.0.0.1:9/f"), tmp_path / "f")
    assert client.waits == [1, 2, 4, 8, 16]


def test_a_full_disk_is_said_and_what_came_is_kept(site, fetch, tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ENOUGH, hard))
    try:
        with pytest.raises(DownloadError, match="f.part could not be written"):
            fetch(size=len(BODY))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < (tmp_path / "f.part").stat().st_size <= ENOUGH
    assert fetch(size=len(BODY)) == BODY and site.ranges()[1].startswith("bytes=")


@pytest.mark.parametrize("seed", range(12))
def test_whatever_goes_wrong_the_bytes_are_right(site, fetch, seed):
    draw = random.Random(seed)
    kinds = [{"cut": draw.randrange(len(BODY))}, {"status": 503}, {"no_range": True, "cut": draw.randrange(len(BODY))},
             {"shift": 77}, {"headers": {"Content-Length": "12"}}, {"headers": {"ETag": '"three"'}}]  # fmt: skip
    site.faults.extend(draw.choices(kinds, k=4))
    assert fetch(size=len(BODY)) == BODY


def test_the_size_is_asked_with_one_byte(site, client):
    assert client.size(site.address + "/f") == len(BODY)
    assert site.ranges() == ["bytes=0-0"]
    site.faults.append({"no_range": True})
    assert client.size(site.address + "/f") == len(BODY)
    site.faults.append({"no_range": True, "headers": {"Content-Length": None}, "cut": 9})
    assert client.size(site.address + "/f") is None


def test_json_is_read_and_anything_else_said(site, client):
    site.files |= {"/j": Stored(json.dumps({"a": [1]}).encode()), "/h": Stored(b"<html>")}
    site.faults.append({"status": 503})
    assert client.json(site.address + "/j") == {"a": [1]}
    with pytest.raises(DownloadError, match="something else than JSON"):
        client.json(site.address + "/h")


def test_progress_is_told(site, client, tmp_path):
    told = []
    client.download(Remote("f", site.address + "/f"), tmp_path / "f", lambda *now: told.append(now))
    assert told[-1] == (len(BODY), len(BODY)) and told == sorted(told) and len(told) > 10


@pytest.mark.slow
def test_two_gigabytes_cut_ten_times_arrive_whole(site, client, tmp_path):
    size = 2_000_000_000
    site.files["/f"] = Generated(size)
    draw = random.Random(0)
    site.faults.extend({"cut": draw.randrange(1000, size // 8)} for _ in range(10))
    client.timeout = (10, 60)
    client.download(Remote("f", site.address + "/f", size), tmp_path / "f")
    expected = hashlib.sha256()
    for piece in Generated(size).pieces(0, size):
        expected.update(piece)
    assert len(site.asked) == 11 and all(asked for asked in site.ranges()[1:])
    assert (tmp_path / "f").stat().st_size == size and digests(tmp_path / "f")["sha256"] == expected.hexdigest()
    (tmp_path / "f").unlink()  # pytest keeps the folders of its last runs
