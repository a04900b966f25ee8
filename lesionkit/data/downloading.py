"""Files over HTTP: resumed by byte range, tried again, checked, and put in place whole or not at all.

What has come is kept (`parts.Part`) together with the file's ETag or Last-Modified, so that a file which changed on its
server starts anew instead of being spliced.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests

import lesionkit
from lesionkit.data.parts import Part, digests

CHUNK = 1 << 16  # bytes; what a cut connection can lose
ENOUGH = 1 << 20  # bytes that an attempt must bring to count as progress
LONGEST = 600  # seconds that a server may ask us to wait
PASSING = (408, 425, 429, 500, 502, 503, 504)

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all or None
T = TypeVar("T")


class DownloadError(Exception):
    """A file that did not come, and why, in words."""


class _Passing(Exception):  # noqa: N818
    """A fault that may be gone at the next attempt; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float = 0):
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Remote:
    """A file on a server; `size` in bytes and `md5` as published, where they are, and if the server `answered`."""

    name: str
    url: str
    size: int | None = None
    md5: str = ""
    answered: bool = True


def _session() -> requests.Session:
    session = requests.Session()
    # Harvard Dataverse answers requests' own name with 403; encodings would make nonsense of byte ranges.
    session.headers.update({"User-Agent": f"lesionkit/{lesionkit.__version__}", "Accept-Encoding": "identity"})
    return session


@dataclass
class Client:
    """Asks servers, patiently. `say` is told why an attempt is made again; `sleep` waits, in seconds."""

    say: Callable[[str], None] = lambda text: None
    sleep: Callable[[float], None] = time.sleep
    timeout: tuple[float, float] = (15, 60)  # seconds to connect, and without a byte
    session: requests.Session = field(default_factory=_session)

    def json(self, url: str) -> Any:
        """What a server answers, as JSON. Raises DownloadError."""

        def attempt() -> Any:
            with self._get(url, {}) as answer:
                try:
                    return answer.json()
                except requests.exceptions.JSONDecodeError:
                    raise DownloadError(f"{_host(url)} answered something else than JSON") from None

        return self._patiently(attempt, tries=3)

    def size(self, url: str) -> int | None:
        """Bytes of a file as its server states them; None where it does not. Raises DownloadError.

        It asks for one byte: some stores that sign their addresses refuse HEAD.
        """

        def attempt() -> int | None:
            with self._get(url, {"Range": "bytes=0-0"}) as answer:
                return _span(answer)[1]

        return self._patiently(attempt, tries=2)

    def download(
        self, remote: Remote, target: Path, progress: Progress = lambda done, total: None,
        arrived: Callable[[dict[str, str], int], None] = lambda hashes, size: None,
    ) -> None:  # fmt: skip
        """Fetch `remote` to `target`, which is not there before it is whole; goes on where an earlier call stopped.

        `arrived` is told its `digests` and size before it is put in place. Raises DownloadError where the server
        refuses, gives up, or sends something else than was published, twice.
        """
        part, wrong = Part(target), []

        def attempt() -> dict[str, str]:
            if not (remote.md5 and remote.size and part.size == remote.size):
                self._receive(remote, part, progress)
            if remote.size is not None and part.size != remote.size:
                short = f"{part.size:,} bytes came, {remote.size:,} are published"
                part.discard()
                raise _Passing(short)
            found = digests(part.file)
            if remote.md5 and found["md5"] != remote.md5.lower():
                part.discard()
                wrong.append(found)
                fault = f"its MD5 is {found['md5']}, published is {remote.md5}"
                raise _Passing(fault) if len(wrong) < 2 else DownloadError(f"it came twice, and {fault}")
            return found

        arrived(self._patiently(attempt, reached=lambda: part.size), part.size)
        part.finish()

    def _receive(self, remote: Remote, part: Part, progress: Progress) -> None:
        """One attempt to get the rest of a file into its part."""
        done = part.resumable(bool(remote.md5), remote.size)
        asked = {"Range": f"bytes={done}-"} | ({"If-Range": part.version} if part.version else {}) if done else {}
        with self._get(remote.url, asked) as answer:
            if answer.status_code == 416:  # there is more of it here than there
                part.discard()
                raise _Passing(f"{done:,} bytes had come, and the server says that the file ends before (416)")
            start, total = _span(answer)
            if remote.size is not None and total not in (None, remote.size):
                raise _Passing(f"the server says it has {total:,} bytes, {remote.size:,} are published")
            if start != 0 and (start != done or (part.version and _version(answer) not in ("", part.version))):
                part.discard()
                raise _Passing("the server sent another piece than was asked for, or of another version")
            try:
                if start == 0:
                    part.begin(_version(answer))
                for done in part.take(answer.iter_content(CHUNK), start):
                    progress(done, total)
            except requests.RequestException:
                raise
            except OSError as error:
                raise DownloadError(f"{part.file} could not be written ({error.strerror})") from error
        if total is not None and part.size < total:
            raise _Passing(f"the connection ended after {part.size:,} of {total:,} bytes")

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        answer = self.session.get(url, headers=headers, stream=True, timeout=self.timeout)
        code = answer.status_code
        if code == 200 or (code in (206, 416) and "Range" in headers):
            return answer
        answer.close()
        reason = f"{_host(answer.url)} answered {code} {answer.reason or ''}".strip()
        if code not in PASSING:  # 202 among them: a firewall's challenge, with no body
            raise DownloadError(reason)
        raise _Passing(reason, _retry_after(answer))

    def _patiently(self, attempt: Callable[[], T], *, tries: int = 6, reached: Callable[[], int] = lambda: 0) -> T:
        """`attempt` until it comes off; gives up after `tries` in a row that brought less than ENOUGH bytes together,
        and after as many that threw away what had come.
        """
        best, failures, losses = reached(), 0, 0
        while True:
            try:
                return attempt()
            except _Passing as error:
                reason, asked = str(error), error.wait
            except requests.RequestException as error:
                reason, asked = _plainly(error), 0.0
            failures, now = failures + 1, reached()
            if now >= best + ENOUGH:
                best, failures = now, 1
            elif now < best:  # a part was thrown away: what comes counts from here
                best, losses = now, losses + 1
            if max(failures, losses) >= tries or asked > LONGEST:
                raise DownloadError(reason + (f" and asks to wait {asked:,.0f} s" if asked > LONGEST else ""))
            wait = max(asked, min(2.0 ** (failures - 1), 60))
            self.say(f"{reason}; trying again in {wait:,.0f} s")
            self.sleep(wait)


def _span(answer: requests.Response) -> tuple[int, int | None]:
    """Where the body of a response begins in the file, and how long the file is; None where it is not said."""
    if answer.status_code != 200:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
        if not match:
            raise _Passing("the server sent a piece and did not say which")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _version(answer: requests.Response) -> str:
    """What If-Range takes: a strong ETag, or else the date of the last change; "" for neither."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")


def _retry_after(answer: requests.Response) -> float:
    asked = answer.headers.get("Retry-After", "")
    if asked.isdigit():
        return float(asked)
    try:
        return (parsedate_to_datetime(asked) - datetime.now(timezone.utc)).total_seconds()
    except (TypeError, ValueError):
        return 0


def _plainly(error: requests.RequestException) -> str:
    """A network error without the names of the classes it came through."""
    host = _host(error.request.url) if error.request is not None else "the server"
    for kind, text in (
        (requests.exceptions.SSLError, f"no secure connection to {host}: is a proxy in between, or the clock wrong?"),
        (requests.exceptions.ProxyError, f"the proxy does not lead to {host}"),
        (requests.exceptions.Timeout, f"{host} did not answer in time"),
        (requests.exceptions.ChunkedEncodingError, "the connection was cut"),
        (requests.exceptions.ConnectionError, f"no connection to {host}"),
    ):
        if isinstance(error, kind):
            return text
    return str(error)


def _host(url: str) -> str:
    return urlsplit(url).netloc or url
