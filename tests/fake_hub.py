"""A hub that the tests serve themselves."""

import json
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
from written import COMMIT


class FakeHub:
    """Serves one repository as the hub does; main is at commit `sha`, `refused` are files that want consent."""

    def __init__(self, files: dict[str, bytes]):
        self.files, self.sha, self.refused, self.sent = files, COMMIT, set(), []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self, body: bool = True) -> None:
                if self.path.startswith("/api/"):
                    repo, _, revision = self.path.removeprefix("/api/datasets/").partition("/revision/")
                    sha = hub.sha if revision == "main" else revision
                    known = repo == "someone/pets" and sha in (COMMIT, hub.sha)
                    siblings = [{"rfilename": name} for name in hub.files]
                    content = json.dumps({"id": repo, "sha": sha, "siblings": siblings}).encode()
                    self.answer(200, content) if known else self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
                    return
                sha, _, name = self.path.partition("/resolve/")[2].partition("/")
                if name in hub.refused:
                    self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
                    return
                hub.sent += [name] * body
                self.answer(200, hub.files[name], {"ETag": f'"{len(hub.files[name])}"', "X-Repo-Commit": sha}, body)

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
