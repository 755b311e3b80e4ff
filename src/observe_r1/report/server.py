"""The live viewer: the report's page, fetching its data from a small server on 127.0.0.1.

    GET /                       the list of runs, or the only run
    GET /run/<name>/            one run
    GET /run/<name>/state       revision: asked every two seconds
    GET /run/<name>/payload     everything but the groups
    GET /run/<name>/groups?…    one page of the list;  group?id=  same?sample=  picture?key=

Only this machine can reach it, it only reads, and it answers only requests made to its own name: a
page of another site that points its name at 127.0.0.1 is refused.
"""

import json
import threading
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from observe_r1.errors import RunError
from observe_r1.report.images import prepare
from observe_r1.report.live import LiveRun
from observe_r1.report.pages import library_styles, plotly, policy, render_live, script, style
from observe_r1.report.payload import to_json
from observe_r1.report.run import MARKS, is_run, stage_folders

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost")
JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"


class Runs:
    """The run folder that was named, or every run inside the folder that was."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise RunError(f"{folder} is not a folder. Name a run, or a folder that holds runs.")
        self.folder = folder = folder.resolve()  # ``.`` has no name of its own
        self._lock = threading.Lock()
        self._open: dict[str, LiveRun] = {}
        if not self.paths():
            raise RunError(
                f"{folder} is not a run (it holds none of {', '.join(MARKS)}), and no folder in it "
                "is one. Name the folder that was given to 'train' as --out."
            )

    def paths(self) -> dict[str, Path]:
        """Runs by name, as they are at this moment: a folder may gain some while it is viewed."""
        if not self.folder.is_dir():
            return {}
        inside = [path for path in self.folder.iterdir() if path.is_dir() and is_run(path)]
        found = {}
        for path in sorted(inside, key=lambda path: path.name.lower()):
            # A run of several stages has its rows in the folders of its stages.
            stages = {f"{path.name}/{stage.name}": stage for stage in stage_folders(path)}
            found |= stages or {path.name: path}
        # A run of several stages is shown stage by stage; any other run is its own first entry.
        if is_run(self.folder) and not stage_folders(self.folder):
            found = {self.folder.name: self.folder} | found
        return found

    def only(self) -> str | None:
        """The name of the run where there is just the one that was named."""
        paths = self.paths()
        return self.folder.name if list(paths.values()) == [self.folder] else None

    def get(self, name: str) -> LiveRun | None:
        """The run of that name among those there are: it is looked up, never joined to a path."""
        path = self.paths().get(name)
        if path is None and name == self.folder.name and is_run(self.folder):
            path = self.folder  # opened while it was the only one: its page goes on
        if path is None:
            return None
        with self._lock:
            if name not in self._open:
                self._open[name] = LiveRun(path)
            return self._open[name]

    def lines(self) -> list[dict[str, Any]]:
        found = []
        for name in self.paths():
            run = self.get(name)
            if run is not None:
                run.refresh()
                found.append({**run.line(), "address": address(name)})
        return found

    def close(self) -> None:
        for run in self._open.values():
            run.close()


def address(name: str) -> str:
    return f"/run/{quote(name, safe='', errors='surrogateescape')}/"


def make_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server that is ready to serve; port 0 takes a free one, found in ``server_port``."""
    prepare()
    runs = Runs(folder)
    if (only := runs.only()) is not None:  # read it before anyone asks
        runs.get(only)

    class Handler(_Handler):
        pass

    Handler.runs = runs
    try:
        return _Server((HOST, port), Handler)
    except OSError as error:
        raise RunError(
            f"Port {port} on {HOST} cannot be used: {error.strerror}. Give another one with --port."
        ) from None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_close(self) -> None:
        super().server_close()
        handler: Any = self.RequestHandlerClass
        handler.runs.close()


class _Handler(BaseHTTPRequestHandler):
    runs: Runs
    protocol_version = "HTTP/1.1"
    server_version = "observe-r1"
    sys_version = ""

    def do_GET(self) -> None:
        name = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if name not in NAMES:
            return self._send(HTTPStatus.FORBIDDEN, b"unknown host", "text/plain")
        try:
            parts = urlsplit(self.path)
            wanted = dict(parse_qsl(parts.query, max_num_fields=30))
        except ValueError:  # not an address, or one with too many fields
            return self._send(HTTPStatus.BAD_REQUEST, b"no such address", "text/plain")
        try:
            self._answer(parts.path, wanted)
        except RunError as error:
            self._send(HTTPStatus.NOT_FOUND, str(error).encode("utf-8", "replace"), "text/plain")

    def _answer(self, path: str, wanted: Mapping[str, str]) -> None:
        if path.startswith("/assets/"):
            return self._asset(path.removeprefix("/assets/"))
        if path == "/":
            only = self.runs.only()
            return self._page("/" if only is None else address(only))
        if path == "/runs":
            return self._json({"runs": self.runs.lines()})
        if path.startswith("/run/"):
            name, _, what = path.removeprefix("/run/").partition("/")
            run = self.runs.get(unquote(name, errors="surrogateescape"))
            if run is not None:
                return self._run(run, name, what, dict(wanted))
        return self._missing()

    def _run(self, run: LiveRun, name: str, what: str, wanted: dict[str, str]) -> None:
        if what == "":
            return self._page(f"/run/{name}/")
        if what == "state":
            return self._json({**run.state(), "single": self._is_single()})
        if what == "payload":
            beside, slash, _ = unquote(name, errors="surrogateescape").rpartition("/")
            return self._text(run.payload({"single": self._is_single(), "beside": beside + slash}))
        if what == "groups":
            return self._json(run.groups(wanted))
        if what == "group":
            place = wanted.get("id", "")
            return self._json(
                run.group(int(place) if place.isdecimal() and len(place) < 12 else -1)
            )
        if what == "same":
            return self._json(run.same(wanted.get("sample", "")))
        if what == "picture":
            content = run.picture(wanted.get("key", ""))
            if content is not None:
                return self._send(HTTPStatus.OK, content, "image/webp")
        return self._missing()

    def _is_single(self) -> bool:
        return self.runs.only() is not None

    def _page(self, base: str) -> None:
        self._send(HTTPStatus.OK, render_live(base).encode(), HTML)

    def _asset(self, name: str) -> None:
        found = _assets().get(name)
        if found is None:
            return self._missing()
        return self._send(HTTPStatus.OK, found[0], found[1], cached=True)

    def _json(self, value: Any) -> None:
        self._text(to_json(value))

    def _text(self, encoded: str) -> None:
        self._send(HTTPStatus.OK, encoded.encode(), JSON)

    def _missing(self) -> None:
        self._send(HTTPStatus.NOT_FOUND, json.dumps({"error": "not found"}).encode(), JSON)

    def _send(self, status: HTTPStatus, content: bytes, kind: str, cached: bool = False) -> None:
        self.send_response(status)
        own = "'self'"
        rules = policy(own, f"{own} {library_styles()}", f"{own} data:", own)
        self.send_header("Content-Security-Policy", f"{rules}; frame-ancestors 'none'")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "max-age=3600" if cached else "no-store")
        self.end_headers()
        try:
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the page was closed while it was being answered

    def log_message(self, format: str, *_: Any) -> None:
        """Requests are not worth a line each on the terminal."""


@cache
def _assets() -> dict[str, tuple[bytes, str]]:
    javascript = "text/javascript; charset=utf-8"
    return {
        "app.js": (script().encode(), javascript),
        "plotly.js": (plotly().encode(), javascript),
        "style.css": (style().encode(), "text/css; charset=utf-8"),
    }
