"""A hub that the tests serve themselves."""

import hashlib
import json
import threading
from collections.abc import Callable
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
from written import COMMIT

DATE = "2024-04-28T12:00:00.000Z"
LARGE = (".parquet", ".safetensors", ".pt")  # files that the hub keeps apart


class FakeHub:
    """Serves repositories as the hub does; main is at commit `sha`, `refused` are files that want consent.

    files: of the repository someone/pets; `repos` may hold others. `damaged` files are sent with other bytes than the hub
    says, of `cut` ones half, and after that nothing is answered; `status` answers everything, with these headers; `others` are
    commits that are known, too.
    """

    def __init__(self, files: dict[str, bytes]):
        self.repos = {"someone/pets": files}
        self.sha, self.refused, self.sent, self.starts = COMMIT, set(), [], []
        self.damaged: set[str] = set()
        self.cut: set[str] = set()
        self.status: tuple[int, dict] | None = None
        self.others: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self, body: bool = True) -> None:
                if hub.status:
                    self.answer(hub.status[0], b"", hub.status[1])
                    return
                path = self.path.partition("?")[0]
                if path.startswith("/api/"):
                    self.answer_api(path.removeprefix("/api/").partition("/")[2])
                    return
                repo, _, rest = path.removeprefix("/datasets").removeprefix("/").partition("/resolve/")
                sha, _, name = rest.partition("/")
                if name in hub.refused:
                    self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
                    return
                hub.sent += [name] * body
                content = hub.repos[repo][name][::-1] if name in hub.damaged else hub.repos[repo][name]
                headers = {"ETag": f'"{len(content)}"', "X-Repo-Commit": sha}
                start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
                if start:
                    hub.starts.append(start)
                    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                if body and name in hub.cut:
                    hub.status = 500, {}
                    self.answer(200, content[: len(content) // 2], {"Content-Length": str(len(content)), **headers})
                    return
                self.answer(206 if start else 200, content[start:], headers, body)

            def answer_api(self, path: str) -> None:
                repo, _, revision = path.partition("/revision/")
                repo, _, commits = repo.partition("/commits/")
                sha = hub.sha if revision in ("", "main") else revision
                if repo not in hub.repos:
                    self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
                elif commits:
                    found = [
                        {"id": sha, "title": "", "message": "", "date": DATE, "authors": []} for sha in hub.commits
                    ]
                    self.answer(200, json.dumps(found).encode())
                elif sha not in hub.commits:
                    self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
                else:
                    siblings = [sibling(name, content) for name, content in hub.repos[repo].items()]
                    self.answer(200, json.dumps({"id": repo, "sha": sha, "siblings": siblings}).encode())

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
    def commits(self) -> list[str]:
        """The newest first."""
        return list(dict.fromkeys([self.sha, COMMIT, *self.others]))

    @property
    def api(self) -> Callable[[], huggingface_hub.HfApi]:
        return partial(huggingface_hub.HfApi, endpoint=f"http://127.0.0.1:{self.server.server_address[1]}")

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@cache  # checkpoints have hundreds of megabytes, and every question lists all of them
def digests(content: bytes) -> tuple[str, str]:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest(), hashlib.sha256(content).hexdigest()


def sibling(name: str, content: bytes) -> dict:
    """What the hub says of a file: large ones by SHA-256, small ones as git does."""
    blob, sha256 = digests(content)
    large = {"sha256": sha256, "size": len(content), "pointerSize": 130}
    return {"rfilename": name, "size": len(content), "blobId": blob} | ({"lfs": large} if name.endswith(LARGE) else {})
