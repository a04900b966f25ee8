"""A server on this machine that answers as the Hugging Face Hub does to one who makes a repository and uploads to it."""

import base64
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

TOKEN = "hf_of_a_test"


class FakeHub(ThreadingHTTPServer):
    """`files`: what was committed, by path; `repositories`: what was asked for, by name."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.files, self.stored, self.repositories = {}, {}, {}


@contextmanager
def serving():
    with FakeHub() as hub:
        Thread(target=hub.serve_forever, args=(0.02,), daemon=True).start()
        yield hub
        hub.shutdown()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._body()
        if "whoami" in self.path:
            return self._answer({"name": "owner", "type": "user"})
        hub, repo = self.server, "/".join(self.path.split("?")[0].split("/")[3:5])
        if repo not in hub.repositories:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        names = (".gitattributes", *hub.files)
        if "/tree/" in self.path:  # older versions of the client ask for siblings
            return self._answer([{"type": "file", "path": name, "size": 1, "oid": "0" * 40} for name in names])
        self._answer({"id": repo, "sha": "0" * 40, "siblings": [{"rfilename": name} for name in names]})

    def do_POST(self):
        body, hub = self._body(), self.server
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            hub.repositories[f"{asked.get('organization') or 'owner'}/{asked['name']}"] = asked
            return self._answer({"url": f"{hub.address}/owner/{asked['name']}"})
        if "/preupload/" in self.path:
            return self._answer({"files": [
                {"path": file["path"], "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".onnx")) else "regular",
                 "shouldIgnore": False} for file in json.loads(body)["files"]]})  # fmt: skip
        if self.path.endswith("/objects/batch"):
            return self._answer({"transfer": "basic", "objects": [
                {**one, "actions": {"upload": {"href": f"{hub.address}/stored/{one['oid']}", "header": {}}}}
                for one in json.loads(body)["objects"]]})  # fmt: skip
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub.files[value["path"]] = hub.stored[value["oid"]]
                elif line["key"] == "deletedFile":
                    del hub.files[value["path"]]
            return self._answer({"commitUrl": f"{hub.address}/owner/name/commit/0", "commitOid": "0" * 40})
        self._answer({})  # validate-yaml and the like

    def do_PUT(self):
        self.server.stored[self.path.rsplit("/", 1)[1]] = self._body(signed=False)
        self._answer({})

    def _body(self, signed=True):
        if signed and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_error(401)
            raise ConnectionError("no token")
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, content):
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass
