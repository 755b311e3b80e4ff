"""How long the report of a large run takes, and how fast the viewer answers on it.

    python benchmarks/report.py                        # 200 steps: a quick look
    python benchmarks/report.py --steps 2000 --prompts 128 --out docs/results/report.json

Wanted, for 2,000 steps × 128 prompts × 8 completions of 600 characters: the report in under three
minutes and 2 GB, a page under 15 MB that is ready in 2 s and filters 5,000 groups in 100 ms, and
every answer of the viewer in under 200 ms, also while the first index is being built. The last
thing printed is a line for each of these: what is wanted, what was measured, whether it is kept.

Measured on two cores shared with a training run (load 10), 2,048,000 rollouts, 1.67 GB of rows:

    report, index built     18.7 s of CPU, 72 to 126 s in all, 268 MB, page 4.8 MB
    report, index on disk    4.8 s of CPU,  20 s in all
    page in Chromium         ready after 0.65 s; 4,289 groups filtered by text in 8 ms (first 56)
    viewer                   list 8 ms, filter 2 ms, text search 91 ms (in parts), group 1 ms,
                             payload 1 ms (first: 73 ms); the slowest of all answers 101 ms
"""

import argparse
import http.client
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

from synthetic_run import Size, write_run

EXTRA_CHARACTERS = 200
"""Beside the texts of the synthetic run, which have about 400."""
REPEATS = 15


def measure_report(folder: Path) -> dict:
    """In a process of its own, so that the memory is the report's."""
    code = (
        "import resource, sys, time; from pathlib import Path; start = time.perf_counter();"
        "from observe_r1.report.pages import write_report; out = write_report(Path(sys.argv[1]));"
        "memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "print(time.perf_counter() - start, time.process_time(), memory, out.stat().st_size)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True
    )
    seconds, cpu_seconds, kilobytes, size = done.stdout.split()
    return {
        "seconds": round(float(seconds), 2),
        "cpu_seconds": round(float(cpu_seconds), 2),
        "memory_mb": round(int(kilobytes) / 1024),
        "page_mb": round(int(size) / 1e6, 2),
    }


def measure_viewer(folder: Path) -> dict:
    from observe_r1.report.server import make_server

    with make_server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            return _ask_everything(server.server_port, folder.name)
        finally:
            server.shutdown()


PATHS = (
    "state",
    "payload",
    "groups",
    "groups?outcome=mixed&rung=3&sort=hardest",
    "groups?text=yellow",
    "groups?text=nowhere+to+be+found",
    "groups?offset=100000",
    "group?id=20000",
    "picture?key=0.0",
)


def measure_first_look(folder: Path) -> dict:
    """The answers while the index is being built: it is taken away first."""
    from observe_r1.report.server import make_server

    (folder / "rollouts.index").unlink(missing_ok=True)
    begun = time.perf_counter()
    with make_server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        listening = time.perf_counter() - begun
        try:
            taken: dict[str, list[float]] = {path: [] for path in PATHS}
            said = set()
            while text := json.loads(_get(server.server_port, f"/run/{folder.name}/state"))["text"]:
                said.add(text.partition(":")[0])
                for path in PATHS:
                    start = time.perf_counter()
                    _get(server.server_port, f"/run/{folder.name}/{path}")
                    taken[path].append(1000 * (time.perf_counter() - start))
            built = time.perf_counter() - begun
        finally:
            server.shutdown()
    return {
        "listening_seconds": round(listening, 2),
        "index_seconds": round(built, 2),
        "said": sorted(said),
        "answers": {path: _summary(found) for path, found in taken.items() if found},
    }


def _summary(taken: list[float]) -> dict:
    return {"median_ms": round(statistics.median(taken), 1), "worst_ms": round(max(taken), 1)}


def _ask_everything(port: int, name: str) -> dict:
    start = time.perf_counter()
    _get(port, f"/run/{name}/payload")
    results = {"first payload": {"median_ms": round(1000 * (time.perf_counter() - start), 1)}}
    while json.loads(_get(port, f"/run/{name}/state"))["text"]:
        time.sleep(0.1)
    start_ready = round(time.perf_counter() - start, 2)
    sample = json.loads(_get(port, f"/run/{name}/group?id=1"))["sample"]
    for path in (*PATHS, f"same?sample={quote(sample)}"):
        results[path] = _time(port, f"/run/{name}/{path}")
    return {"ready_seconds": start_ready, "answers": results}


def _time(port: int, path: str) -> dict:
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        _get(port, path)
        taken.append(1000 * (time.perf_counter() - start))
    return _summary(taken)


def measure_page(page: Path) -> dict | None:
    """Until the page can be used, and how long filters take; None where there is no browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return None
    if chromium is None:
        return None
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.goto(page.as_uri())
        opened.wait_for_selector("html[data-ready]", state="attached", timeout=60_000)
        results = opened.evaluate(MEASURE)
        browser.close()
    return results


MEASURE = """() => {
    const { source, ready } = window.observeR1;
    const timed = (wanted) => {
        const start = performance.now();
        source.find(wanted);
        return Math.round(10 * (performance.now() - start)) / 10;
    };
    return {
        ready_ms: Math.round(ready),
        groups: source.groups.length,
        first_text_filter_ms: timed({ text: "let me check" }),
        text_filter_ms: timed({ text: "yellow" }),
        sort_and_filter_ms: timed({ outcome: "mixed", sort: "hardest" }),
    };
}"""


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--run", type=Path, help="a folder to make the run in, and to use again")
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.run or Path(scratch) / "run"
        results = _measure(folder, options)
    print(json.dumps(results, indent=2))
    print("\n".join(verdicts(results)))
    if options.out:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


def verdicts(results: dict) -> list[str]:
    """A line for each thing that is wanted; the sizes they are wanted for are in the docstring."""
    report, page, viewer = (results[name] for name in ("report", "page in the browser", "viewer"))
    while_built = results["viewer while the index is built"]["answers"]
    measured = [
        ("report, index built", report["seconds"], 180, "s"),
        ("memory of the report", report["memory_mb"], 2000, "MB"),
        ("page", report["page_mb"], 15, "MB"),
        ("slowest answer", _worst(viewer["answers"]), 200, "ms"),
        ("slowest answer while the index is built", _worst(while_built), 200, "ms"),
    ]
    if page is not None:
        filters = max(page["text_filter_ms"], page["sort_and_filter_ms"])
        measured += [("page ready", page["ready_ms"], 2000, "ms")]
        measured += [(f"filtering {page['groups']:,} groups", filters, 100, "ms")]
    return [
        f"{'kept  ' if found < most else 'BROKEN'} {what}: {found:,} {unit} (wanted: {most:,})"
        for what, found, most, unit in measured
    ]


def _worst(answers: dict) -> float:
    return max((found.get("worst_ms", found["median_ms"]) for found in answers.values()), default=0)


def _measure(folder: Path, options: argparse.Namespace) -> dict:
    if not (folder / "config.json").exists():
        size = Size(
            steps=options.steps,
            prompts=options.prompts,
            group_size=options.group_size,
            questions=options.questions,
            extra_characters=EXTRA_CHARACTERS,
        )
        write_run(folder, size)
    rollouts = folder / "rollouts.jsonl"
    with open(rollouts, "rb") as file:
        rows = sum(1 for _ in file)
    (folder / "rollouts.index").unlink(missing_ok=True)
    return {
        "rollouts": rows,
        "rollouts_mb": round(rollouts.stat().st_size / 1e6),
        "report": measure_report(folder),
        "report with the index on disk": measure_report(folder),
        "page in the browser": measure_page((folder / "report.html").resolve()),
        "viewer": measure_viewer(folder),
        "viewer while the index is built": measure_first_look(folder),
        "memory_of_viewer_and_generator_mb": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        ),
    }


if __name__ == "__main__":
    main()
