"""A hub that the tests serve themselves."""

import hashlib
import json
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
from written import COMMIT


class FakeHub:
    """Serves one repository as the hub does; main is at commit `sha`, `refused` are files that want consent.

    `damaged` files are sent with other bytes than the hub says; `status` answers everything, with these headers.
    """

    def __init__(self, files: dict[str, bytes]):
        self.files, self.sha, self.refused, self.sent = files, COMMIT, set(), []
        self.damaged: set[str] = set()
        self.status: tuple[int, dict] | None = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self, body: bool = True) -> None:
                if hub.status:
                    self.answer(hub.status[0], b"", hub.status[1])
                    return
                path = self.path.partition("?")[0]
                if path.startswith("/api/"):
                    repo, _, revision = path.removeprefix("/api/datasets/").partition("/revision/")
                    sha = hub.sha if revision == "main" else revision
                    known = repo == "someone/pets" and sha in (COMMIT, hub.sha)
                    siblings = [sibling(name, content) for name, content in hub.files.items()]
                    content = json.dumps({"id": repo, "sha": sha, "siblings": siblings}).encode()
                    self.answer(200, content) if known else self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
                    return
                sha, _, name = path.partition("/resolve/")[2].partition("/")
                if name in hub.refused:
                    self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
                    return
                hub.sent += [name] * body
                content = hub.files[name][::-1] if name in hub.damaged else hub.files[name]
                self.answer(200, content, {"ETag": f'"{len(hub.files[name])}"', "X-Repo-Commit": sha}, body)

            def do_HEAD(self) -> None:
                self.do_GET(body=False)

            def answer(self, status: int, content: bytes, headers: dict = {}, body: bool = True) -> None:  # noqa: B006
                self.send_response(status)
                for key, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content if body else b"")

            def log_message(self, *_) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def api(self) -> Callable[[], huggingface_hub.HfApi]:
        return partial(huggingface_hub.HfApi, endpoint=f"http://127.0.0.1:{self.server.server_address[1]}")

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def sibling(name: str, content: bytes) -> dict:
    """What the hub says of a file: large ones by SHA-256, small ones as git does."""
    blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
    large = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return {"rfilename": name, "size": len(content), "blobId": blob} | ({"lfs": large} if ".parquet" in name else {})
