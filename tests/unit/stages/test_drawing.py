"""Responses drawn from a server that counts what it is asked, and from the built-in engine."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import fakes
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.run import RunConfig
from observe_r1.config.stages import SampleStage, TeachStage
from observe_r1.data.store import write_samples
from observe_r1.data.traces import TraceRow, TraceSet, read_traces
from observe_r1.errors import ConfigError, DataError, EngineError
from observe_r1.policy.load import load_policy
from observe_r1.records import read_json, read_rows
from observe_r1.refusals import MOST_IN_A_ROW
from observe_r1.stages.pipeline import run_recipe
from observe_r1.stages.sample import run_sample
from observe_r1.stages.scoring import measure_perplexity
from observe_r1.stages.teach import run_teach
from observe_r1.types import Sample

QUESTIONS = [
    Sample(id=f"q{n}", question=f"What is {n} plus {n}?", answer=str(2 * n), kind="number",
           images=(fakes.picture(),))
    for n in range(1, 5)
]  # fmt: skip


class Teacher(ThreadingHTTPServer):
    """Knows sums when it is given a hint; without one it is wrong about odd numbers."""

    daemon_threads = True
    request_queue_size = 64  # with the usual 5 the system resets connections that come at once

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.refuses: set[int] = set()
        """Numbers whose question is against the rules: status 400."""
        self.replies_before = 0
        """So many a question come before its first refusal."""
        self.fails: set[int] = set()
        """Numbers whose question is answered with status 402."""
        self.credit: int | None = None
        """So many more replies are given, then only status 402; None: any number."""
        self.paid: list[int] = []
        """Seeds of what was replied to."""
        self.thinks_apart = False
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def questions(self) -> Counter[int]:
        return Counter(ask["number"] for ask in self.asked)


class Handler(BaseHTTPRequestHandler):
    server: Teacher

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.reply(200, {"data": [{"id": "teacher"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][-1]["content"]
        text = " ".join(part["text"] for part in content if part["type"] == "text")
        number = int(text.split()[2])
        images = sum(part["type"] == "image_url" for part in content)
        with self.server.lock:
            self.server.asked.append(
                {"number": number, "text": text, "images": images, "system": body["messages"][0],
                 "greedy": body["temperature"] == 0}
            )  # fmt: skip
            is_late = self.server.questions()[number] > self.server.replies_before
        if number in self.server.refuses and is_late:
            self.reply(400, {"error": {"message": "against our rules"}})
            return
        if number in self.server.fails:
            self.reply(402, {"error": {"message": "no more credit"}})
            return
        with self.server.lock:
            if self.server.credit is not None and len(self.server.paid) >= self.server.credit:
                self.reply(402, {"error": {"message": "no more credit"}})
                return
            self.server.paid.append(body["seed"])
        right = number % 2 == 0 or "Hint" in text
        answer = 2 * number if right else 2 * number + 1
        thought, said = f"{number} + {number}, {body['seed']}", f"<answer>{answer}</answer>"
        message = {"content": f"<think>{thought}</think>\n{said}"}
        if self.server.thinks_apart:
            message = {"content": said, "reasoning_content": thought}
        choice = {"message": message, "finish_reason": "stop"}
        self.reply(200, {"choices": [choice], "usage": {"completion_tokens": 7}})

    def reply(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server() -> Iterator[Teacher]:
    with Teacher() as teacher:
        threading.Thread(target=teacher.serve_forever, daemon=True).start()
        yield teacher
        teacher.shutdown()


def no_policy() -> Any:
    raise AssertionError("no filter here needs weights to measure with")


def teach(server: Teacher, run: Path, **changes: Any) -> TraceSet:
    known = changes.pop("known", None)
    values = {"teacher": {"type": "endpoint", "base_url": server.url, "max_retries": 0}, **changes}
    stage = TeachStage.build(values, "test")
    run_teach(stage, teacher_model="", questions=QUESTIONS, run=run, policy=no_policy, known=known)
    return read_traces(run)


def test_a_server_teaches(server: Teacher, tmp_path: Path) -> None:
    found = teach(server, tmp_path, attempts=2)
    assert len(found) == 8
    assert [row.correct for row in found.rows] == [False, False, True, True] * 2
    first = found.rows[0]
    assert (first.sample_id, first.stage, first.num_tokens) == ("q1", "teach", 7)
    assert (first.solve_rate, first.perplexity) == (0.0, None)
    assert found.sample(first).images == QUESTIONS[0].images
    assert {ask["images"] for ask in server.asked} == {1}
    rows = list(read_rows(tmp_path / "metrics.jsonl"))
    assert sum(row["tokens/generated"] for row in rows) == 56


def test_what_was_paid_for_is_kept_when_the_server_fails(server: Teacher, tmp_path: Path) -> None:
    server.fails = {3, 4}
    with pytest.raises(EngineError, match=r"2 calls failed.*no more credit.*is kept.*--resume"):
        teach(server, tmp_path)
    assert not (tmp_path / "traces.jsonl").exists()
    server.fails = set()
    before = server.questions()
    assert len(teach(server, tmp_path)) == 4
    assert server.questions() - before == {3: 1, 4: 1}, "only what is missing is asked again"


@pytest.mark.parametrize("at_once", [1, 4, 16])
@pytest.mark.parametrize("settings", [{}, {"attempts_per_round": 3, "ask_if_greedy": "wrong"}])
def test_every_single_reply_is_kept_and_none_is_asked_for_twice(
    server: Teacher, tmp_path: Path, at_once: int, settings: dict[str, Any]
) -> None:
    teacher = {"type": "endpoint", "base_url": server.url, "max_retries": 0,
               "max_concurrency": at_once}  # fmt: skip
    settings = {"teacher": teacher, "attempts": 8, **settings}
    undisturbed = teach(server, tmp_path / "whole", **settings)
    wanted = Counter(server.paid)
    server.paid.clear()
    for credit in (5, 11):
        server.credit = credit
        with pytest.raises(EngineError, match=rf"no more credit.* {credit} replies.*--resume"):
            teach(server, tmp_path / "cut", **settings)
        assert len(server.paid) == credit == num_stored(tmp_path / "cut" / "drawn")
    server.credit = None
    resumed = teach(server, tmp_path / "cut", **settings)
    assert Counter(server.paid) == wanted and set(wanted.values()) == {1}
    assert resumed.rows == undisturbed.rows
    assert not (tmp_path / "cut" / "drawn" / "replies.jsonl").exists(), "all rounds are whole"


def num_stored(drawn: Path) -> int:
    """Replies on disk, each counted once, whether its round is whole or not."""
    rows = list(read_rows(drawn / "rollouts.jsonl")) if (drawn / "rollouts.jsonl").exists() else []
    texts = [completion["text"] for row in rows for completion in row["completions"]]
    texts += [row["completion"]["text"] for row in read_rows(drawn / "replies.jsonl")]
    return len(set(texts))


@pytest.mark.parametrize("at_once", [1, 16])
def test_a_server_that_fails_too_often_is_given_up(
    server: Teacher, tmp_path: Path, at_once: int
) -> None:
    many = many_questions(300)
    server.credit = 20
    teacher = {"type": "endpoint", "base_url": server.url, "max_retries": 0,
               "max_concurrency": at_once}  # fmt: skip
    stage = TeachStage.build({"teacher": teacher, "attempts": 3}, "test")
    with pytest.raises(EngineError, match=r"\d+ calls failed.* 20 replies.*--resume"):
        run_teach(stage, teacher_model="", questions=many, run=tmp_path, policy=no_policy)
    assert num_stored(tmp_path / "drawn") == 20
    assert len(server.asked) < 300, "most questions are not tried any more"


def many_questions(count: int) -> list[Sample]:
    return [
        Sample(id=f"q{n}", question=f"What is {n} plus {n}?", answer=str(2 * n), kind="number")
        for n in range(count)
    ]


def test_a_refused_question_is_left_out_counted_and_not_asked_again(
    server: Teacher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuses, server.fails = {3}, {4}
    with pytest.raises(EngineError, match=r"1 calls failed.*no more credit"):
        teach(server, tmp_path)
    server.fails = set()
    found = teach(server, tmp_path)
    assert [row.sample_id for row in found.rows] == ["q1", "q2", "q4"]
    assert server.questions() == {1: 1, 2: 1, 3: 1, 4: 2}
    assert "refused 1 of 4 questions, for example 'q3': " in caplog.text
    assert "against our rules" in caplog.text
    assert read_json(tmp_path / "traces.json")["refused"] == 1


def test_a_refused_question_is_asked_again_in_other_words(server: Teacher, tmp_path: Path) -> None:
    server.refuses, server.fails = {3}, {4}
    with pytest.raises(EngineError, match="no more credit"):
        teach(server, tmp_path)
    server.refuses = server.fails = set()
    assert len(teach(server, tmp_path, system_prompt="Please answer.")) == 4
    assert read_json(tmp_path / "traces.json")["refused"] == 0


def test_what_came_of_a_question_before_it_was_refused_is_kept(
    server: Teacher, tmp_path: Path
) -> None:
    server.refuses, server.replies_before = {2}, 2
    found = teach(server, tmp_path, attempts=5)
    assert Counter(row.sample_id for row in found.rows) == {"q1": 5, "q2": 2, "q3": 5, "q4": 5}


def test_a_question_refused_greedily_goes_no_further(server: Teacher, tmp_path: Path) -> None:
    server.refuses, server.fails = {1}, {4}
    settings = {"ask_if_greedy": "wrong", "attempts": 2}
    with pytest.raises(EngineError, match="no more credit"):
        teach(server, tmp_path, **settings)
    server.fails = set()
    assert {row.sample_id for row in teach(server, tmp_path, **settings).rows} == {"q3"}
    assert server.questions()[1] == 1


@pytest.mark.parametrize("count", [4, 300])
def test_a_server_that_refuses_everything_is_given_up_and_asked_anew_when_it_is_put_right(
    server: Teacher, tmp_path: Path, count: int
) -> None:
    many = many_questions(count)
    server.refuses = set(range(count))
    teacher = {"type": "endpoint", "base_url": server.url, "max_concurrency": 4}
    stage = TeachStage.build({"teacher": teacher}, "test")
    with pytest.raises(EngineError, match=r"refused every question.*against our rules.*--resume"):
        run_teach(stage, teacher_model="", questions=many, run=tmp_path, policy=no_policy)
    assert len(server.asked) <= MOST_IN_A_ROW + 3, "those on their way at the tenth"
    server.refuses = set()
    run_teach(stage, teacher_model="", questions=many, run=tmp_path, policy=no_policy)
    assert len(read_traces(tmp_path)) == count


def test_a_server_that_refuses_everything_from_some_question_on_is_given_up(
    server: Teacher, tmp_path: Path
) -> None:
    many = many_questions(300)
    server.refuses = set(range(50, 300))
    teacher = {"type": "endpoint", "base_url": server.url, "max_concurrency": 4}
    stage = TeachStage.build({"teacher": teacher}, "test")
    with pytest.raises(EngineError, match="refused the last 10 questions"):
        run_teach(stage, teacher_model="", questions=many, run=tmp_path, policy=no_policy)
    refused = set(server.questions()) & server.refuses
    assert len(refused) < 5 * MOST_IN_A_ROW, "an answer that comes late begins the row anew"
    server.refuses = refused
    run_teach(stage, teacher_model="", questions=many, run=tmp_path, policy=no_policy)
    assert max(server.questions().values()) == 1, "going on leaves them out"
    assert len(read_traces(tmp_path)) == 300 - len(refused)


def test_a_kill_costs_the_line_that_was_being_written(server: Teacher, tmp_path: Path) -> None:
    server.credit = 3
    with pytest.raises(EngineError):
        teach(server, tmp_path, attempts=4)
    replies = tmp_path / "drawn" / "replies.jsonl"
    whole = replies.read_bytes()
    replies.write_bytes(whole[:-20])
    server.credit = None
    assert len(teach(server, tmp_path, attempts=4)) == 16
    assert len(server.paid) == 17, "the torn reply is asked for again"


def test_a_thought_that_the_server_keeps_apart_is_learnt(server: Teacher, tmp_path: Path) -> None:
    together = teach(server, tmp_path / "together", filters=[{"type": "well_formed"}])
    server.thinks_apart = True
    apart = teach(server, tmp_path / "apart", filters=[{"type": "well_formed"}])
    assert [row.response for row in apart.rows] == [row.response for row in together.rows]
    assert len(apart) == 4
    assert apart.rows[1].response.startswith("<think>2 + 2, ")
    answers = teach(server, tmp_path / "answers", grammar="answer")
    assert answers.rows[1].response == "<answer>4</answer>"


def test_a_run_keeps_what_was_paid_for_and_goes_on(server: Teacher, tmp_path: Path) -> None:
    write_samples(tmp_path / "data", QUESTIONS)
    endpoint = {"type": "endpoint", "base_url": server.url, "max_retries": 0}
    values = {
        "recipe": "test", "preset": "full", "model": "tiny", "data": str(tmp_path / "data"),
        "stages": [{"type": "teach", "teacher": endpoint}],
    }  # fmt: skip
    run = RunConfig.build(values, "test")
    server.fails = {4}
    with pytest.raises(EngineError, match="no more credit"):
        run_recipe(run, tmp_path / "run")
    server.fails = set()
    before = server.questions()
    run_recipe(run, tmp_path / "run", resume=True)
    assert server.questions() - before == {4: 1}
    assert len(read_traces(tmp_path / "run")) == 4


def test_a_finished_stage_asks_nothing(server: Teacher, tmp_path: Path) -> None:
    teach(server, tmp_path)
    before = len(server.asked)
    teach(server, tmp_path)
    assert len(server.asked) == before


def test_greedy_wrong_and_hinted_right(server: Teacher, tmp_path: Path) -> None:
    found = teach(
        server, tmp_path, hint={"text": "Hint: it is {answer}."}, ask_if_greedy="wrong",
        filters=[{"type": "gold"}],
    )  # fmt: skip
    assert [row.sample_id for row in found.rows] == ["q1", "q3"]
    hinted = [ask for ask in server.asked if not ask["greedy"]]
    assert {ask["number"] for ask in hinted} == {1, 3}
    assert all(f"Hint: it is {2 * ask['number']}." in ask["text"] for ask in hinted)
    assert not any("Hint" in ask["text"] for ask in server.asked if ask["greedy"])
    assert found.sample(found.rows[0]).question == "What is 1 plus 1?", "the hint is not learnt"


def test_drawing_stops_once_enough_pass_the_filters(server: Teacher, tmp_path: Path) -> None:
    found = teach(
        server, tmp_path, attempts=6, attempts_per_round=2, wanted=1, filters=[{"type": "gold"}]
    )
    assert server.questions() == {1: 6, 2: 2, 3: 6, 4: 2}
    assert Counter(row.sample_id for row in found.rows) == {"q2": 2, "q4": 2}


def test_a_teacher_that_cannot_see_reads_a_description(
    server: Teacher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = (TraceRow(sample_id="q2", response="<observe>two</observe>", grammar="think_answer",
                     caption="two dots"),)  # fmt: skip
    known = TraceSet(rows, {sample.id: sample for sample in QUESTIONS})
    found = teach(
        server, tmp_path, show_images=False, known=known,
        hint={"text": "Hint: {caption}", "of_traces": {"source": "last"}},
    )  # fmt: skip
    assert [row.sample_id for row in found.rows] == ["q2"], "others have no description"
    assert "3 of 4 questions do not have what the hint 'Hint: {caption}' speaks of" in caplog.text
    assert read_json(tmp_path / "traces.json")["without_hint"] == 3
    assert server.asked[0]["images"] == 0
    assert "Hint: two dots" in server.asked[0]["text"]
    assert found.sample(found.rows[0]).images, "the picture is learnt all the same"


def test_a_hint_about_what_nobody_wrote_is_refused(server: Teacher, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="speaks of something that none of the 4 questions has"):
        teach(server, tmp_path, hint={"text": "It shows {observe}."})


def test_nothing_answered_as_wanted_is_refused(server: Teacher, tmp_path: Path) -> None:
    even = [q for q in QUESTIONS if int(q.id[1:]) % 2 == 0]
    values = {"teacher": {"type": "endpoint", "base_url": server.url}, "ask_if_greedy": "wrong"}
    stage = TeachStage.build(values, "test")
    with pytest.raises(DataError, match="none of 2 questions was answered wrong greedily"):
        run_teach(stage, teacher_model="", questions=even, run=tmp_path, policy=no_policy)


def test_too_few_traces_are_refused_with_what_left_them_out(
    server: Teacher, tmp_path: Path
) -> None:
    with pytest.raises(
        DataError, match=r"wrote 2 traces and wants at least 3: of 4, gold left out 2"
    ):
        teach(server, tmp_path, filters=[{"type": "gold"}], at_least=3)
    assert len(list(read_rows(tmp_path / "drawn" / "rollouts.jsonl"))) == 4, "the drawn stay"


def test_the_built_in_engine_samples_and_repeats(tmp_path: Path) -> None:
    model = fakes.save_tiny(tmp_path / "model")
    values = {"attempts": 3, "sampling": {"max_new_tokens": 6}, "filters": [{"type": "duplicates"}]}
    stage = SampleStage.build(values, "test")
    for name in ("one", "two"):
        run_sample(stage, model=model, questions=QUESTIONS, run=tmp_path / name, policy=no_policy)
    one, two = (read_traces(tmp_path / name) for name in ("one", "two"))
    assert one.rows == two.rows
    assert all(row.truncated and row.num_tokens == 6 for row in one.rows)
    policy = load_policy(model, PolicyConfig())
    whole = [row for row in one.rows if policy.processor.tokenizer.decode(
        policy.processor.tokenizer(row.response)["input_ids"]) == row.response
        and len(policy.processor.tokenizer(row.response)["input_ids"]) == 6]  # fmt: skip
    unknown = one.with_rows([TraceRow(**{**_fields(row), "perplexity": None}) for row in whole])
    measured = measure_perplexity(policy, unknown)
    assert [row.perplexity for row in measured.rows] == pytest.approx(
        [row.perplexity for row in whole], rel=1e-4
    )
    assert read_json(tmp_path / "one" / "traces.json")["written"] == 12


def _fields(row: TraceRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in TraceRow.__slots__}


def test_a_response_can_begin_with_the_hint_and_go_on(tmp_path: Path) -> None:
    model = fakes.save_tiny(tmp_path / "model")
    hint = {"text": "Wait: {answer}. ", "place": "response"}
    stage = SampleStage.build(
        {"attempts": 1, "sampling": {"max_new_tokens": 4}, "hint": hint}, "test"
    )
    run_sample(stage, model=model, questions=QUESTIONS, run=tmp_path / "run", policy=no_policy)
    rows = read_traces(tmp_path / "run").rows
    assert [row.response[: len("Wait: 2. ")] for row in rows] == [
        f"Wait: {2 * n}. " for n in range(1, 5)
    ]
    assert all(row.num_tokens == len("Wait: 2. ") + 4 for row in rows), "a byte a token"


def test_another_checkpoint_teaches(tmp_path: Path) -> None:
    model = fakes.save_tiny(tmp_path / "model")
    values = {"teacher": {"type": "checkpoint", "model": model}, "sampling": {"max_new_tokens": 3}}
    stage = TeachStage.build(values, "test")
    run_teach(
        stage, teacher_model=model, questions=QUESTIONS, run=tmp_path / "run", policy=no_policy
    )
    found = read_traces(tmp_path / "run")
    assert len(found) == 4
    assert {row.origin for row in found.rows} == {model}


def test_no_endpoint_goes_on_from_a_hint(server: Teacher, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an endpoint takes no response that is begun already"):
        teach(server, tmp_path, hint={"text": "Wait", "place": "response"})
