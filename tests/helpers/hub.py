"""A Hugging Face Hub for tests: its cache as `huggingface_hub` lays it out, and a small server."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest
from huggingface_hub import constants


def cached(cache: Path, name: str, source: Path, revision: str = "main") -> Path:
    """Put some files of a folder into a cache, as a download of this revision leaves them.

    Returns:
        The snapshot's folder: its files are links.
    """
    repository = cache / f"models--{name.replace('/', '--')}"
    wanted = ("config.json", "model.safetensors", "record.json")
    contents = {file: (source / file).read_bytes() for file in wanted if (source / file).exists()}
    commit = hashlib.sha1(b"".join(contents.values()) + revision.encode()).hexdigest()
    snapshot = repository / "snapshots" / commit
    for folder in (repository / "blobs", repository / "refs", snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        blob = hashlib.sha256(content).hexdigest()
        (repository / "blobs" / blob).write_bytes(content)
        (snapshot / file).symlink_to(Path("..", "..", "blobs", blob))
    (repository / "refs" / revision).write_text(commit)
    return snapshot


class Hub:
    """What a server holds, and what it was asked.

    Attributes:
        branches: files by repository and branch.
        private: whether a repository is private.
        asked: requests, as "METHOD path".
        stated: sizes that it gives instead of the true ones, by path.
        refuses: answer every request to write with 403.
    """

    def __init__(self) -> None:
        self.branches: dict[str, dict[str, dict[str, bytes]]] = {}
        self.private: dict[str, bool] = {}
        self.asked: list[str] = []
        self.stated: dict[str, int] = {}
        self.refuses = False

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        """Of a repository."""
        return self.branches[name][branch]

    def commit(self, name: str, branch: str) -> str:
        """The commit at the end of a branch: a hash of what is there."""
        digest = hashlib.sha1(branch.encode())
        for path, content in sorted(self.branches[name][branch].items()):
            digest.update(path.encode() + content)
        return digest.hexdigest()

    def found(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Commit and files at a revision."""
        for branch, files in self.branches.get(name, {}).items():
            if revision in (branch, self.commit(name, branch)):
                return self.commit(name, branch), files
        return None

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status, and JSON values or bytes."""
        words = [unquote(word) for word in urlsplit(path).path.strip("/").split("/")]
        if method == "POST" and self.refuses:
            return 403, {"error": "no right to write"}
        match method, words:
            case "POST", ["api", "repos", "create"]:
                return self._create(json.loads(body))
            case "POST", ["api", "validate-yaml"]:
                return 200, {"errors": [], "warnings": []}
            case "POST", ["api", "models", user, model, "branch", branch]:
                branches = self.branches[f"{user}/{model}"]
                if branch in branches:
                    return 409, {"error": "exists"}
                branches[branch] = dict(branches["main"])
                return 200, {}
            case "POST", ["api", "models", _, _, "preupload", _]:
                files = [
                    {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                    for f in json.loads(body)["files"]
                ]
                return 200, {"files": files}
            case "POST", ["api", "models", user, model, "commit", branch]:
                return self._write(f"{user}/{model}", branch, body)
            case "GET", ["api", "models", user, model, *rest]:
                revision = rest[1] if rest else "main"
                return self._describe(f"{user}/{model}", rest[:1], revision)
            case _, [user, model, "resolve", revision, *rest]:
                here = self.found(f"{user}/{model}", revision)
                return (404, {"error": "none"}) if here is None else (200, here[1]["/".join(rest)])
        return 404, {"error": f"no {method} {path}"}

    def _create(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        name = f"{wanted['organization']}/{wanted['name']}"
        if name in self.branches:
            return 409, {"error": "exists", "url": f"https://huggingface.co/{name}"}
        self.branches[name] = {"main": {".gitattributes": b""}}
        self.private[name] = wanted.get("visibility") == "private" or wanted.get("private", False)
        return 200, {"url": f"https://huggingface.co/{name}", "name": name, "id": name}

    def _write(self, name: str, branch: str, body: bytes) -> tuple[int, Any]:
        files = self.branches[name][branch]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        commit = self.commit(name, branch)
        address = f"https://huggingface.co/{name}/commit/{commit}"
        return 200, {"success": True, "commitOid": commit, "commitUrl": address}

    def _describe(self, name: str, kind: list[str], revision: str) -> tuple[int, Any]:
        here = self.found(name, revision)
        if here is None:
            return 404, {"error": "none"}
        commit, files = here
        sizes = {path: self.stated.get(path, len(content)) for path, content in files.items()}
        if kind == ["tree"]:
            return 200, [
                {"type": "file", "path": path, "size": size, "oid": commit}
                for path, size in sizes.items()
            ]
        siblings = [{"rfilename": path, "size": size} for path, size in sizes.items()]
        described = {"id": name, "sha": commit, "siblings": siblings, "tags": [], "downloads": 0}
        return 200, described | {"private": self.private.get(name, False)}


@contextmanager
def served(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """A Hub on this machine, which `huggingface_hub` takes for the true one."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            hub.asked.append(f"{self.command} {self.path}")
            status, values = hub.answer(self.command, self.path, body)
            content = values if isinstance(values, bytes) else json.dumps(values).encode()
            self.send_response(status)
            if isinstance(values, bytes):
                words = urlsplit(self.path).path.strip("/").split("/")
                here = hub.found("/".join(words[:2]), unquote(words[3]))
                assert here is not None
                self.send_header("X-Repo-Commit", here[0])
                self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_HEAD = _serve  # noqa: N815 - as http.server calls them

        def log_message(self, format: str, *_: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        huggingface_hub.close_session()
