"""One self-contained HTML file: no network, nothing that runs but our own script.

    payload  ──JSON──────────▶ <script type="application/json">   drawn at once
    groups   ──JSON, gzip────▶ <script type="text/plain">         unpacked after the first paint
    plotly   ──gzip──────────▶ <script type="text/plain">         unpacked when a curve is in view

The content-security policy names the hashes of our script, of our style and of the plotting library
(which our script inserts as it is), so nothing else can run, load or connect, whatever a model
wrote.
"""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

from observe_r1.records import write_atomic
from observe_r1.report.index import Progress, open_index
from observe_r1.report.payload import build_groups, build_payload, to_json
from observe_r1.report.run import open_run
from observe_r1.report.select import PageLimits

SCRIPTS = (
    "dom.js",
    "format.js",
    "theme.js",
    "sections.js",
    "ladder.js",
    "charts.js",
    "completion.js",
    "filters.js",
    "groups.js",
    "pairs.js",
    "sources.js",
    "main.js",
)
"""In the order in which they stand in the page: each uses only what is above it."""


def write_report(
    folder: Path,
    out: Path | None = None,
    limits: PageLimits | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the report of a run, ``report.html`` in its folder by default; returns the file."""
    run = open_run(folder)
    index = open_index(run.rollouts, progress)
    payload = build_payload(run, index)
    groups = build_groups(run, index, limits or PageLimits())
    out = out or run.path / "report.html"
    write_atomic(out, render(run.name, "report", payload, groups).encode("utf-8", "replace"))
    return out


def render(name: str, kind: str, payload: dict[str, Any], groups: dict[str, Any] | None) -> str:
    """A page that carries its data: a ``report`` or a ``compare``."""
    return _template("page.html").render(
        title=name,
        kind=kind,
        policy=policy(
            f"'{_hash(script())}' '{_hash(plotly())}'",
            f"'{_hash(style())}' {library_styles()}",
            "data:",
        ),
        style=style(),
        script=script(),
        payload=to_json({"kind": kind, **payload}),
        groups=pack(to_json(groups).encode()) if groups is not None else "",
        plotly=pack_plotly(),
        summary=_summary(payload),
        live=False,
    )


def render_live(base: str) -> str:
    """The page of the live viewer: the same, fetching its data below the address ``base``."""
    return _template("page.html").render(
        title="observe-r1",
        kind="view",
        policy="",
        style="",
        script="",
        payload=to_json({"kind": "view", "base": base}),
        groups="",
        plotly="",
        summary=[],
        live=True,
    )


def policy(scripts: str, styles: str, pictures: str, connect: str = "'none'") -> str:
    """The content-security policy of a page: what is not named is forbidden."""
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src {pictures}; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


@cache
def script() -> str:
    """Our own script; inside a function, so that no name leaks into the page."""
    parts = "\n".join(_asset(name) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


@cache
def style() -> str:
    return _asset("style.css")


@cache
def plotly() -> str:
    """The plotting library, as the Python package ships it."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


@cache
def library_styles() -> str:
    """Hashes of the style sheets that the plotting library brings along (for maps, unused here).

    It adds them as soon as it is loaded; forbidden ones would be an error in the browser's console.
    """
    found = re.findall(r"\.textContent='([^'\\\\]*)'", plotly())
    return " ".join(f"'{_hash(sheet)}'" for sheet in found)


@cache
def pack_plotly() -> str:
    return pack(plotly().encode())


def pack(content: bytes) -> str:
    """Compressed, as text; the same bytes give the same text on every day."""
    return base64.b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode()


def _asset(name: str) -> str:
    return files("observe_r1.report").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


@cache
def _template(name: str) -> Any:
    environment = Environment(
        loader=DictLoader({name: _asset(name)}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _summary(payload: dict[str, Any]) -> Iterable[str]:
    """What a reader without scripts gets: the state and the findings as sentences."""
    state = payload.get("state", {}).get("text")
    findings = [f"{found['title']}: {found['text']}" for found in payload.get("findings", [])]
    return [line for line in (state, *payload.get("problems", []), *findings) if line]


def embedded_json(page: str, name: str) -> Any:
    """Read back a JSON block of a page, for tests and for whoever gets a page without its run."""
    start = page.index(f'id="{name}"')
    start = page.index(">", start) + 1
    return json.loads(page[start : page.index("</script>", start)])
