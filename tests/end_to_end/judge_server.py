"""An OpenAI-compatible server for tests: it stands for the two models, never for our own code.

The policy, under the name "policy", answers every question alike. The judge, under the name
"judge-1", reads the response it is shown the way a person would who looks for the words "I say".
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Models(ThreadingHTTPServer):
    """``answer``: what the policy says to every question."""

    def __init__(self, answer: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.judge_is_down = False
        self.refuses = ""
        """Questions with these words in them are answered with status 400."""
        self.asked_policy: list[str] = []
        self.asked_judge: list[str] = []
        self.keys: set[str | None] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


def judge(prompt: str) -> str:
    """Three jobs, told apart by how the prompt ends."""
    if prompt.endswith("Same:"):
        gold = re.search(r"^Right answer: (.*)$", prompt, re.M)[1]
        said = re.search(r"^Answer to check: (.*)$", prompt, re.M)[1]
        return "Yes." if said and said.strip(" .") in gold else "no"
    response = prompt.rsplit("-----", 2)[1]
    stated = re.search(r"I say (\w[\w.]*)", response)
    if prompt.endswith("Option:"):
        letter = stated and re.search(rf"^([A-Z])\. {stated[1]}", prompt, re.M)
        return letter[1] if letter else "none"
    return stated[1].rstrip(".") if stated else ""


class _Handler(BaseHTTPRequestHandler):
    server: Models

    def do_GET(self) -> None:
        self._send({"data": [{"id": "policy"}, {"id": "judge-1"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][-1]["content"]
        text = content if isinstance(content, str) else content[-1]["text"]
        is_judge = body["model"] == "judge-1"
        with self.server.lock:
            (self.server.asked_judge if is_judge else self.server.asked_policy).append(text)
            if is_judge:
                self.server.keys.add(self.headers.get("Authorization"))
        if is_judge and self.server.judge_is_down:
            return self._send({"error": "no such model here"}, 404)
        if self.server.refuses and self.server.refuses in text:
            return self._send({"error": "against our rules"}, 400)
        reply = judge(text) if is_judge else self.server.answer
        message = {"role": "assistant", "content": reply}
        choice = {"message": message, "finish_reason": "stop"}
        return self._send({"choices": [choice], "usage": {"completion_tokens": 9}})

    def _send(self, value: dict, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def models(answer: str) -> Iterator[Models]:
    server = Models(answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
