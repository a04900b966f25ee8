"""A real HTTP server for the tests of downloads: it serves byte ranges as it should, and misbehaves when told to."""

import re
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 1 << 20


@dataclass
class Generated:
    """A file of any size that lies nowhere: block i is the number i over and over."""

    size: int
    etag: str = '"generated"'
    modified: str = ""

    def pieces(self, start, stop):
        while start < stop:
            number, offset = divmod(start, BLOCK)
            piece = (number.to_bytes(8, "big") * (BLOCK // 8))[offset : offset + stop - start]
            yield piece
            start += len(piece)


@dataclass
class Stored:
    """A file of these bytes."""

    body: bytes
    etag: str = '"one"'
    modified: str = ""

    @property
    def size(self):
        return len(self.body)

    def pieces(self, start, stop):
        for at in range(start, stop, 4096):
            yield self.body[at : min(at + 4096, stop)]


@dataclass
class Site:
    """`files` by path; `faults` are used up, one a request of a path that `at` matches: keyword arguments of `Fault`."""

    files: dict = field(default_factory=dict)
    faults: deque = field(default_factory=deque)
    at: str = ".*"
    asked: list = field(default_factory=list)  # (path, headers) of each request
    address: str = ""

    def ranges(self):
        return [headers.get("Range") for _, headers in self.asked]


@dataclass
class Fault:
    status: int = 0  # answer this and no file
    headers: dict = field(default_factory=dict)  # over those that a good server would send; None leaves one out
    cut: int | None = None  # close the connection after so many bytes
    stall: float = 0  # seconds to wait before each piece
    no_range: bool = False  # send it all, whatever was asked
    no_if_range: bool = False  # send the range, whatever has changed
    shift: int = 0  # begin so many bytes too late
    body: bytes | None = None  # these bytes in place of the file's


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site, path = self.server.site, self.path
        site.asked.append((path, dict(self.headers)))
        fault = Fault(**site.faults.popleft()) if site.faults and re.fullmatch(site.at, path) else Fault()
        file = site.files.get(path)
        if fault.status or file is None:
            return self._head(fault.status or 404, {"Content-Length": "0"} | fault.headers)
        if fault.body is not None:
            file = Stored(fault.body, file.etag, file.modified)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        version = self.headers.get("If-Range")
        if fault.no_range or (version and version not in (file.etag, file.modified) and not fault.no_if_range):
            asked = None
        start = int(asked[1]) if asked else 0
        stop = min(int(asked[2]) + 1, file.size) if asked and asked[2] else file.size
        if asked and start >= file.size:
            return self._head(416, {"Content-Range": f"bytes */{file.size}", "Content-Length": "0"})
        start = min(start + fault.shift, stop)
        headers = {"Content-Length": str(stop - start), "ETag": file.etag or None, "Last-Modified": file.modified or None}
        if asked:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
        self._head(206 if asked else 200, headers | fault.headers)
        self._body(file, start, stop, fault)

    def _head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _body(self, file, start, stop, fault):
        left = stop - start if fault.cut is None else fault.cut
        with suppress(ConnectionError):  # the client may go first
            for piece in file.pieces(start, stop):
                time.sleep(fault.stall)
                self.wfile.write(piece[:left])
                left -= len(piece)
                if left <= 0:
                    break
        if fault.cut is not None or "Content-Length" in fault.headers:
            self.close_connection = True

    def log_message(self, *args):
        pass


@contextmanager
def serving(site):
    """Serve `site` until the block ends; its address is in site.address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.site, server.daemon_threads = site, True
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
