"""Evaluation through an OpenAI-compatible server: no model here, no deep-learning stack needed."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from observe_r1.cli.main import call
from observe_r1.data.store import write_samples
from observe_r1.types import Sample

RIGHT = "<observe>two dots</observe><think>so two</think><answer>2</answer>"


class Server(BaseHTTPRequestHandler):
    """Lists one model and always answers 2."""

    def do_GET(self) -> None:
        self._send({"data": [{"id": "served"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"message": {"content": RIGHT}, "finish_reason": "stop"}
        self._send({"choices": [choice], "usage": {"completion_tokens": 12}})

    def _send(self, value: dict) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def served() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_served_model_is_evaluated(tmp_path, capsys):
    samples = [
        Sample(id=f"q{n}", question="How many dots?", answer=str(2 + n % 2), kind="number")
        for n in range(6)
    ]
    write_samples(tmp_path / "data", samples)
    with served() as url:
        status = call(
            ["eval", "served", "--engine", "endpoint", "--base-url", url, "--samples", "2",
             "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--json"]
        )  # fmt: skip
    captured = capsys.readouterr()
    assert status == 0, captured.err
    scores = json.loads(captured.out.splitlines()[-1])["scores"]
    assert scores["data"]["accuracy"]["value"] == 0.5
    assert scores["data"]["mean_tokens"] == 12.0
    assert scores["data-greedy"]["num_questions"] == 6


def test_a_server_that_is_not_there_is_one_message(tmp_path, capsys, monkeypatch):
    from observe_r1 import endpoints

    monkeypatch.setattr(endpoints.time, "sleep", lambda seconds: None)
    write_samples(tmp_path / "data", [Sample(id="q", question="?", answer="2", kind="number")])
    status = call(
        ["eval", "served", "--engine", "endpoint", "--base-url", "http://127.0.0.1:9/v1",
         "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    )  # fmt: skip
    assert status == 2
    assert "did not answer" in capsys.readouterr().err
