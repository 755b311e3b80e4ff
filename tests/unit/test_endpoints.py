"""The client against a real HTTP server on 127.0.0.1 that misbehaves as servers do."""

import base64
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from observe_r1.config.rollout import Endpoint, Sampling
from observe_r1.endpoints import ChatRequest, EndpointClient, user_message
from observe_r1.errors import EngineError, RefusedError
from observe_r1.rollout.endpoint import EndpointEngine
from observe_r1.types import Sample

PNG = b"\x89PNG fake"


class Server(ThreadingHTTPServer):
    """Answers with the seed it was sent; ``plan`` lists what goes wrong first."""

    daemon_threads = True
    request_queue_size = 64  # with the usual 5 the system resets connections that come at once

    def __init__(self, plan: list[str], delay: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = plan
        self.delay = delay
        self.owner = "somebody"
        self.stop_reason: str | None = None
        self.message: dict[str, Any] = {}
        """Laid over the message of every reply."""
        self.finish_reason = "stop"
        self.bodies: list[dict[str, Any]] = []
        self.busy = 0
        self.busiest = 0
        self.meeting: threading.Barrier | None = None
        """Where requests wait until so many are there."""
        self.ended = threading.Event()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that gave up waiting are part of the test."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.reply(200, {"data": [{"id": "served-model", "owned_by": self.server.owner}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            trouble = self.server.plan.pop(0) if self.server.plan else ""
            self.server.bodies.append(body | {"_key": self.headers.get("Authorization")})
            self.server.busy += 1
            self.server.busiest = max(self.server.busiest, self.server.busy)
        time.sleep(self.server.delay)
        if self.server.meeting is not None:
            self.server.meeting.wait()
        with self.server.lock:
            self.server.busy -= 1
        if trouble == "hang":
            self.server.ended.wait()
        elif trouble == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"choi')
        elif trouble == "garbage":
            self.reply_bytes(200, b"<html>busy</html>")
        elif trouble.isdigit():
            self.reply(int(trouble), {"error": {"message": f"status {trouble} it is"}})
        else:
            text = f"seed {body.get('seed')}"
            choice = {"message": {"content": text} | self.server.message,
                      "finish_reason": self.server.finish_reason,
                      "stop_reason": self.server.stop_reason}  # fmt: skip
            self.reply(200, {"choices": [choice], "usage": {"completion_tokens": 4}})

    def reply(self, status: int, content: dict[str, Any]) -> None:
        self.reply_bytes(status, json.dumps(content).encode())

    def reply_bytes(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serving(*plan: str, delay: float = 0.0) -> Iterator[Server]:
    server = Server(list(plan), delay)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def client(*servers: Server, **settings: Any) -> EndpointClient:
    settings = {"first_wait_seconds": 0.01} | settings
    return EndpointClient([server.url for server in servers], **settings)


def ask(seed: int = 1) -> ChatRequest:
    return ChatRequest(messages=[user_message("2 + 2?")], seed=seed)


def test_replies_come_in_the_order_of_the_requests():
    with serving(delay=0.005) as server, client(server) as c:
        replies = c.chat_many([ask(seed) for seed in range(30)])
    assert [reply.text for reply in replies] == [f"seed {seed}" for seed in range(30)]
    assert replies[0].num_tokens == 4 and not replies[0].truncated


@pytest.mark.parametrize("trouble", ["500", "503", "429", "cut", "garbage"])
def test_what_may_pass_is_tried_again(trouble):
    with serving(trouble, trouble) as server, client(server) as c:
        assert c.chat(ask()).text == "seed 1"
        assert len(server.bodies) == 3


def test_a_request_that_hangs_is_given_up_and_tried_again():
    with serving("hang") as server, client(server, model="m", timeout_seconds=1.0) as c:
        assert c.chat(ask()).text == "seed 1"


def test_what_will_not_pass_is_raised_at_once_with_the_servers_words():
    with serving("400") as server, client(server) as c:
        with pytest.raises(EngineError, match="status 400 it is"):
            c.chat(ask())
        assert len(server.bodies) == 1


def test_a_server_that_stays_broken_ends_with_what_to_do():
    with (
        serving(*["500"] * 9) as server,
        client(server, max_retries=2) as c,
        pytest.raises(EngineError, match=r"after 3 tries.*status 500"),
    ):
        c.chat(ask())


def test_nobody_at_the_address_is_an_error_of_the_engine():
    with socket.socket() as taken:  # and not listened at
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with (
            EndpointClient([url], model="m", max_retries=1, first_wait_seconds=0.01) as c,
            pytest.raises(EngineError, match="ConnectError"),
        ):
            c.chat(ask())


def test_no_more_requests_are_on_their_way_than_allowed():
    with serving() as server, client(server, max_concurrency=3) as c:
        server.meeting = threading.Barrier(3, timeout=60)
        c.chat_many([ask(seed) for seed in range(21)])
    assert server.busiest == 3


def test_several_servers_share_the_work_and_a_broken_one_is_left_out():
    with serving(delay=0.01) as one, serving(delay=0.01) as two, client(one, two) as c:
        c.chat_many([ask(seed) for seed in range(40)])
        assert min(len(one.bodies), len(two.bodies)) >= 10
    with serving(*["503"] * 99) as broken, serving() as well, client(broken, well) as c:
        replies = c.chat_many([ask(seed) for seed in range(20)])
    assert [reply.text for reply in replies] == [f"seed {seed}" for seed in range(20)]


def test_every_paid_reply_has_come_before_the_failure_is_raised():
    got: set[int] = set()
    with serving("", "", "", "", "", "402", delay=0.01) as server, client(server) as c:
        with pytest.raises(EngineError, match="status 402 it is"):
            for place, reply in c.chat_each([ask(seed) for seed in range(40)]):
                assert not isinstance(reply, RefusedError)
                assert reply.text == f"seed {place}"
                got.add(place)
        failed = server.bodies[5]["seed"]
    assert got == {body["seed"] for body in server.bodies} - {failed}


@pytest.mark.parametrize("status", ["400", "402"])
def test_no_more_requests_are_sent_once_one_has_failed_for_good(status):
    with serving(status) as server, client(server, max_concurrency=2) as c:
        with pytest.raises(EngineError, match=f"status {status} it is"):
            c.chat_many([ask(seed) for seed in range(500)])
        assert len(server.bodies) < 500
        assert len(c.chat_many([ask(seed) for seed in range(6)])) == 6, "others' still are"


@pytest.mark.parametrize("status", ["400", "413", "422", "401", "403", "404"])
def test_a_refusal_that_may_be_about_the_question_alone_is_told_from_the_others(status):
    with serving(status) as server, client(server) as c:
        with pytest.raises(EngineError) as raised:
            c.chat(ask())
        assert isinstance(raised.value, RefusedError) == (status in ("400", "413", "422"))
        assert len(server.bodies) == 1


def test_a_refused_question_costs_no_reply_to_another_one():
    samples = [Sample(id=f"s{i}", question="?", answer="1", kind="number") for i in range(3)]
    settings = {"sampling": Sampling(), "system_prompt": "", "seed": 0}
    with serving("", "", "", "400", "", "") as server:
        engine = EndpointEngine(Endpoint(base_url=server.url, max_concurrency=1))
        groups = engine.generate(samples, group_size=2, **settings)
        server.plan = ["400", ""]
        drawn = engine.draw(samples[0], [0, 1], grammar="answer", **settings)
        assert next(drawn)[0] == 1, "what else was on its way comes first"
        with pytest.raises(RefusedError, match="status 400 it is"):
            next(drawn)
        engine.close()
    assert [group.num_completions for group in groups] == [2, 1, 2]
    assert ["status 400" in group.refused for group in groups] == [False, True, False]


def test_a_request_is_known_again_whatever_its_dice_and_not_when_it_changes():
    sample = Sample(id="s", question="?", answer="1", kind="number", images=(PNG,))
    with serving() as server:
        engine = EndpointEngine(Endpoint(base_url=server.url))
        other = EndpointEngine(Endpoint(base_url=server.url, extra={"effort": "low"}))
        hashes = [
            engine.request_hash(sample, Sampling(), "Answer."),
            engine.request_hash(replace(sample, id="t", answer="2"), Sampling(), "Answer."),
            engine.request_hash(replace(sample, images=(PNG + b"!",)), Sampling(), "Answer."),
            engine.request_hash(sample, Sampling(max_new_tokens=9), "Answer."),
            engine.request_hash(sample, Sampling(), "Think."),
            other.request_hash(sample, Sampling(), "Answer."),
        ]
        engine.close()
        other.close()
    assert hashes[0] == hashes[1] and len(set(hashes)) == 5


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_thought_that_the_server_keeps_apart_is_part_of_the_reply(field):
    with serving() as server, client(server) as c:
        server.message = {"content": None, field: "2 and 2"}
        server.finish_reason = "length"
        cut = c.chat(ask())
        del server.message["content"]
        whole = c.chat(ask())
        server.message = {field: None}
        without = c.chat(ask())
    assert (cut.text, cut.thought, cut.truncated) == ("", "2 and 2", True)
    assert (whole.text, whole.thought) == ("seed 1", "2 and 2")
    assert without.thought == ""


def test_the_engine_puts_a_thought_where_the_grammar_has_it():
    sample = Sample(id="s", question="?", answer="1", kind="number")

    def drawn(grammar: str, **message: Any) -> str:
        server.message = message
        settings = {"sampling": Sampling(), "system_prompt": "", "seed": 0, "grammar": grammar}
        ((_, completion),) = engine.draw(sample, [0], **settings)
        return completion.text

    with serving() as server:
        engine = EndpointEngine(Endpoint(base_url=server.url))
        said = {"content": "\n\n<answer>1</answer>", "reasoning_content": "\nIt is 1.\n"}
        joined = drawn("think_answer", **said)
        alone = drawn("answer", **said)
        both = drawn("think_answer", content="<think>one</think>", reasoning="one")
        blank = drawn("think_answer", content="<answer>1</answer>", reasoning=" ")
        server.finish_reason = "length"
        cut = drawn("think_answer", content=None, reasoning="It is")
        engine.close()
    assert joined == "<think>It is 1.</think>\n<answer>1</answer>"
    assert alone == "\n\n<answer>1</answer>", "this grammar has no place for it"
    assert both == "<think>one</think>", "not twice"
    assert blank == "<answer>1</answer>"
    assert cut == "<think>It is", "what was cut off is not closed"


def test_single_places_of_a_group_are_the_groups_own():
    sample = Sample(id="s", question="?", answer="1", kind="number")
    settings = {"sampling": Sampling(), "system_prompt": "Answer.", "seed": 3}
    with serving() as server:
        engine = EndpointEngine(Endpoint(base_url=server.url))
        (group,) = engine.generate([sample], group_size=5, **settings)
        some = dict(engine.draw(sample, [4, 1], grammar="think_answer", **settings))
        engine.close()
    assert some == {place: group.completions_G[place] for place in (1, 4)}


def test_requests_are_worded_as_the_server_wants_them():
    sample = Sample(id="s", question="?", answer="1", kind="number")
    extra = {"seed": None, "top_k": "none", "reasoning_effort": "low", "temperature": 1}
    with serving() as server:
        server.owner = "vllm"
        config = Endpoint.build(
            {"base_url": server.url, "token_limit_key": "max_completion_tokens", "extra": extra},
            "the endpoint",
        )
        engine = EndpointEngine(config)
        sampling = Sampling(max_new_tokens=9, temperature=0.5)
        engine.generate([sample], group_size=1, sampling=sampling, system_prompt="", seed=0)
        engine.close()
    body = server.bodies[0]
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (9, "low")
    assert body["temperature"] == 1
    assert not {"max_tokens", "seed", "top_k", "stop"} & body.keys()
    assert body["min_p"] == 0.0, "what is not named stays"


def test_images_go_as_data_urls_to_their_markers():
    message = user_message("Is <image> like <image>?", [PNG, b"\xff\xd8\xff jpeg"])
    kinds = [part["type"] for part in message["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    url = message["content"][1]["image_url"]["url"]
    assert url == "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert message["content"][3]["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert user_message("What?", [PNG])["content"][0]["type"] == "image_url"
    with pytest.raises(EngineError, match="2 image markers and 1 images"):
        user_message("<image> <image>", [PNG])


def test_the_first_model_the_server_lists_is_asked_when_none_is_named():
    with serving() as server, client(server, api_key="secret") as c:
        c.chat(ask())
    assert server.bodies[0]["model"] == "served-model"
    assert server.bodies[0]["_key"] == "Bearer secret"


def test_servers_that_sample_by_the_models_defaults_are_told_to_sample_plainly():
    with serving() as server, client(server) as c:
        c.chat(ask())
        assert "top_k" not in server.bodies[0] and "repetition_penalty" not in server.bodies[0]
    with serving() as server, client(server) as c:
        server.owner = "vllm"
        c.chat(ask())
        c.chat(ChatRequest(messages=[user_message("?")], extra={"top_k": 5}))
        plain, asked = server.bodies
    assert (plain["top_k"], plain["min_p"], plain["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert asked["top_k"] == 5


def test_a_stop_string_that_the_server_took_off_is_put_back():
    with serving() as server, client(server) as c:
        server.stop_reason = "</answer>"
        assert c.chat(ask()).text == "seed 1</answer>"


def test_a_key_is_read_from_the_environment_and_sent(monkeypatch):
    monkeypatch.setenv("MY_SERVERS_KEY", "secret")
    sample = Sample(id="s", question="?", answer="1", kind="number")
    with serving() as server:
        engine = EndpointEngine(Endpoint(base_url=server.url, api_key_variable="MY_SERVERS_KEY"))
        engine.generate([sample], group_size=1, sampling=Sampling(), system_prompt="", seed=0)
        engine.close()
    assert server.bodies[0]["_key"] == "Bearer secret"


def test_the_engine_asks_once_a_completion_with_its_own_seed():
    samples = [Sample(id=f"s{i}", question="?", answer="1", kind="number") for i in range(3)]
    sampling = Sampling(temperature=0.7, top_k=5, max_new_tokens=9, stop=("</answer>",))
    with serving() as server:
        engine = EndpointEngine(Endpoint(base_url=server.url))
        settings = {"group_size": 4, "sampling": sampling, "system_prompt": "Answer."}
        first = engine.generate(samples, seed=1, **settings)
        again = engine.generate(samples, seed=1, **settings)
        other = engine.generate(samples, seed=2, **settings)
        engine.close()
    texts = Counter(c.text for group in first for c in group.completions_G)
    assert set(texts.values()) == {1} and len(texts) == 12
    assert first == again != other
    assert first[0].completions_G[0].num_tokens == 4
    body = server.bodies[0]
    assert body["messages"][0] == {"role": "system", "content": "Answer."}
    assert (body["max_tokens"], body["top_k"], body["stop"]) == (9, 5, ["</answer>"])


def test_a_probe_through_a_server_that_fails_now_and_then_is_complete(tmp_path):
    from observe_r1.probe import ProbeConfig, ProbeStore, probe, read_results

    samples = [Sample(id=f"s{i}", question="?", answer="1", kind="number") for i in range(12)]
    config = ProbeConfig(rollouts=4, batch_size=1, workers=4)
    with serving(*["500", "", "429", ""] * 5) as server:
        engine = EndpointEngine(Endpoint(base_url=server.url, max_concurrency=4))
        with ProbeStore(tmp_path, config.identity("m")) as store:
            summary = probe(samples, engine, config, store)
        engine.close()
    assert summary.failed == ()
    measured = read_results(tmp_path).difficulty
    assert len(measured) == 12 and {d.num_rollouts for d in measured.values()} == {4}


def test_no_response_that_is_begun_is_sent_to_a_server() -> None:
    engine = EndpointEngine(Endpoint(model="m"))
    with pytest.raises(EngineError, match="takes no response that is begun already"):
        engine.generate(
            [Sample(id="a", question="?", answer="1", kind="number")], group_size=1,
            sampling=Sampling(), system_prompt="", seed=0, written_P=[(1, 2)],
        )  # fmt: skip
