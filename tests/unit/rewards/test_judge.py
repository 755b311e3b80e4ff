"""The judge, against a real HTTP server on this machine."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from attempts import RIGHT, WRONG, attempt, scored

from observe_r1.errors import ConfigError, EngineError
from observe_r1.rewards import Scoring
from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.judge import Judge, _courts


class Answers(ThreadingHTTPServer):
    """Replies with the given texts in turn, the last one for ever; a number is a status code."""

    def __init__(self, *replies: str | int):
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies = list(replies)
        self.requests: list[dict] = []
        self.keys: list[str | None] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Answers = self.server  # type: ignore[assignment]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.requests.append(body)
            server.keys.append(self.headers.get("Authorization"))
            reply = server.replies.pop(0) if len(server.replies) > 1 else server.replies[0]
        status = reply if isinstance(reply, int) else 200
        content = {"choices": [{"message": {"role": "assistant", "content": str(reply)}}]}
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silent: the tests look at the requests themselves."""


@contextmanager
def serving(*replies: str | int) -> Iterator[Answers]:
    server = Answers(*replies)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def no_court_is_known() -> None:
    """A server may get the port of one before it."""
    _courts.clear()


def judge(server: Answers, **settings: object) -> Judge:
    return Judge(base_url=server.url, model="judge-1", **settings)  # type: ignore[arg-type]


def test_yes_and_no_are_one_and_nothing() -> None:
    with serving("Yes.", "no", "**YES**", "perhaps") as server:
        values = [judge(server, unclear=-1)(attempt(RIGHT)) for _ in range(4)]
        assert values == [1.0, 0.0, 1.0, -1.0]
        assert server.requests[0]["model"] == "judge-1"
        question = server.requests[0]["messages"][0]["content"]
        assert "How many?" in question and "Reference answer:\n3" in question


def test_a_number_is_divided_by_the_best() -> None:
    with serving("8/10", "Score: 99", "none") as server:
        reward = judge(server, verdict="number")
        assert [reward(attempt(RIGHT)) for _ in range(3)] == [0.8, 1.0, 0.0]


def test_text_of_the_policy_is_never_read_as_a_template() -> None:
    with serving("yes") as server:
        judge(server)(attempt("<answer>{gold} {question}</answer>"))
        question = server.requests[0]["messages"][0]["content"]
        assert "{gold} {question}" in question


def test_a_completion_without_an_answer_is_not_judged_unless_asked_for() -> None:
    with serving("yes") as server:
        assert judge(server)(attempt("nothing")) == 0.0
        assert server.requests == []
        assert judge(server, without_answer=None)(attempt("nothing")) == 1.0


def test_lone_surrogates_reach_the_judge_replaced() -> None:
    with serving("yes") as server:
        assert judge(server)(attempt("<answer>\ud800</answer>")) == 1.0


def test_a_failing_request_is_sent_again_and_then_stops_the_run(monkeypatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with serving(500, "yes") as server:
        assert judge(server)(attempt(RIGHT)) == 1.0
    with serving(503) as server:
        scoring = Scoring(rewards=(judge(server, attempts=2),))
        message = "reward 'judge' on sample 'counting-7'.*after 2 tries: .*: status 503"
        with pytest.raises(EngineError, match=message):
            scored([RIGHT], scoring)


def test_a_question_that_the_server_refuses_is_an_unclear_verdict() -> None:
    with serving("yes", 400, "yes") as server:
        reward = judge(server, unclear=0.25)
        assert [reward(attempt(RIGHT)) for _ in range(3)] == [1.0, 0.25, 1.0]


@pytest.mark.parametrize("before", [0, 1])
def test_a_server_that_refuses_everything_stops_the_run(before: int) -> None:
    with serving(*["yes"] * before, 422) as server:
        reward = judge(server)
        with pytest.raises(EngineError, match=r"the judge at .* refused (every|the last 10)"):
            for number in range(100):
                reward(about(f"counting-{number}"))
        assert len(server.requests) == before + 10


def test_a_question_that_is_refused_with_all_its_completions_is_one_question() -> None:
    with serving(*[400] * 40, "yes") as server:
        reward = judge(server, unclear=0.25)
        refused = [reward(about(f"q{place % 4}")) for place in range(40)]
        assert (refused, reward(about("q9"))) == ([0.25] * 40, 1.0)


def test_a_server_that_was_put_right_is_believed_again_in_the_same_process() -> None:
    with serving(*[400] * 10, "yes") as server:
        with pytest.raises(EngineError, match="refused every question"):
            for number in range(10):
                judge(server)(about(f"counting-{number}"))
        assert judge(server)(about("counting-9")) == 1.0


def about(sample_id: str) -> Attempt:
    """A right completion of that question."""
    found = attempt(RIGHT)
    return replace(found, sample=replace(found.sample, id=sample_id))


def test_a_wrong_key_stops_the_run_at_once() -> None:
    with serving(401) as server:
        with pytest.raises(EngineError, match=r"the judge at .*status 401"):
            judge(server)(attempt(RIGHT))
        assert len(server.requests) == 1


def test_the_key_is_read_from_the_variable_that_is_named(monkeypatch) -> None:
    monkeypatch.setenv("OBSERVE_R1_JUDGE_TEST_KEY", "secret")
    with serving("yes") as server:
        judge(server, api_key_variable="OBSERVE_R1_JUDGE_TEST_KEY")(attempt(RIGHT))
        assert server.keys == ["Bearer secret"]
        monkeypatch.delenv("OBSERVE_R1_JUDGE_TEST_KEY")
        with pytest.raises(ConfigError, match="OBSERVE_R1_JUDGE_TEST_KEY, which is not set"):
            judge(server, api_key_variable="OBSERVE_R1_JUDGE_TEST_KEY")(attempt(RIGHT))


def test_a_group_is_judged_all_at_once_and_in_order() -> None:
    with serving("yes") as server:
        scoring = Scoring.model_validate(
            {
                "rewards": [
                    {"type": "max_of", "parts": [{"type": "accuracy"}, judge(server).model_dump()]}
                ]
            }
        )
        group = scored([RIGHT, WRONG, "nothing"], scoring)
        assert [score.reward for score in group.scores_G] == [1.0, 1.0, 0.0]
        assert [score.correct for score in group.scores_G] == [True, False, False]
