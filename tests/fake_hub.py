"""A hub on 127.0.0.1 with one data set: as much of its protocol as the real client speaks here."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

NAME, COMMIT = "owner/name", "a" * 40


class Hub(ThreadingHTTPServer):
    """Serves the files below ``folder`` as the data set ``owner/name``."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        api, files = f"/api/datasets/{NAME}", f"/datasets/{NAME}/resolve/"
        if path.startswith(f"{api}/tree/"):
            inside = path.removeprefix(f"{api}/tree/").partition("/")[2]
            found = sorted((self.server.folder / inside).glob("*"))
            self.answer([self.describe(entry) for entry in found])
        elif path.startswith(api):
            self.answer({"id": NAME, "sha": COMMIT, "private": False, "siblings": [], "tags": []})
        elif path.startswith(files):
            self.send(self.server.folder / path.removeprefix(files).partition("/")[2])
        else:
            self.send(self.server.folder / "no such file")

    do_HEAD = do_GET

    def describe(self, entry: Path) -> dict[str, Any]:
        name = entry.relative_to(self.server.folder).as_posix()
        if entry.is_dir():
            return {"type": "directory", "oid": "0", "size": 0, "path": name}
        return {"type": "file", "oid": digest(entry), "size": entry.stat().st_size, "path": name}

    def send(self, path: Path) -> None:
        if not path.is_file():
            self.answer({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        content, wanted = path.read_bytes(), self.headers.get("Range")
        headers = {"ETag": f'"{digest(path)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            start, stop = int(first), int(last or len(content) - 1) + 1
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            content = content[start:stop]
        self.answer(content, 206 if wanted else 200, headers)

    def answer(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@contextmanager
def hub(folder: Path) -> Iterator[str]:
    """The address of a hub that serves ``folder``."""
    server = Hub(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
