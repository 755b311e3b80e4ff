"""Our models in lmms-eval: its tasks and metrics, our engines, prompts and tags.

    observe-r1 eval runs/a --benchmark lmms:mmstar --out runs/a-mmstar
    lmms-eval --model observe_r1 --model_args model=runs/a --tasks mmstar     the same from its side

lmms-eval words the question and scores the answer. The model is asked as it was trained, and what
is scored is the answer it states, without its observation and thought: rules that look for a letter
or a number would find the wrong one in those. Every whole response is kept:

    out/lmms/<task>/answers.jsonl    model, sample_id, question, text, answer, num_tokens, …
    out/lmms/<task>/results.json     what lmms-eval makes of them
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from observe_r1.config.evaluation import Evaluation
from observe_r1.config.rollout import Sampling
from observe_r1.errors import ConfigError, DataError, EngineError
from observe_r1.grading import extract_answer
from observe_r1.records import append_rows, read_rows, write_json
from observe_r1.rollout.base import RolloutEngine
from observe_r1.text import parse_response, system_prompt
from observe_r1.types import Completion, Sample

ANSWERS, RESULTS, FOLDER = "answers.jsonl", "results.json", "lmms"
IMAGE = "<image>"


@dataclass(frozen=True, slots=True)
class Request:
    """What a task asks of a model, once.

    Example:
        Request(id="mmstar-17", question="Where is it? A: …", images=(png,), sampling=sampling)
    """

    id: str
    question: str
    images: tuple[bytes, ...]
    sampling: Sampling

    @property
    def key(self) -> str:
        """Of everything that decides the answer: a task of another version is asked anew."""
        digest = hashlib.sha256(repr((self.id, self.question, self.sampling)).encode())
        for image in self.images:
            digest.update(image)
        return digest.hexdigest()[:20]


class Answers:
    """Answers requests with an engine; those that the file has of the same model, asked in the same
    way, are not asked again."""

    def __init__(
        self, engine: RolloutEngine, settings: Evaluation, path: Path, model: str = ""
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.path = path
        self.asked = {"model": model, "settings": _key_of(settings)}

    def answer(
        self, requests: Sequence[Request], tick: Callable[[int], None] = lambda done: None
    ) -> dict[str, str]:
        """The answer that each response states, by the request's key."""
        known = self._known()
        waiting = [request for request in requests if request.key not in known]
        tick(len(requests) - len(waiting))
        for batch in _batches(waiting, self.settings.batch_size):
            rows, refused = self._ask(batch)
            append_rows(self.path, rows)
            if refused:  # the task's score is about all its questions
                raise EngineError(
                    f"the server refused a question of the task: {refused} The other answers are "
                    f"in {self.path}. Ask another server, or another task."
                )
            known |= {row["key"]: row["answer"] for row in rows}
            tick(len(batch))
        return {request.key: known[request.key] for request in requests}

    def _known(self) -> dict[str, str]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = read_rows(self.path) if self.path.exists() else ()
        own = (row for row in rows if self.asked.items() <= row.items())
        return {row["key"]: row["answer"] for row in own}

    def _ask(self, batch: Sequence[Request]) -> tuple[list[dict[str, Any]], str]:
        """Rows of the answers, and the server's words where it refused one."""
        prompt = self.settings.system_prompt
        groups = self.engine.generate(
            [_to_sample(request) for request in batch],
            group_size=1,
            sampling=batch[0].sampling,
            system_prompt=system_prompt(self.settings.grammar) if prompt is None else prompt,
            seed=self.settings.seed,
            step=int(batch[0].key[:6], 16),
        )
        rows = [
            self._row(request, completion)
            for request, group in zip(batch, groups, strict=True)
            for completion in group.completions_G
        ]
        return rows, next((group.refused for group in groups if group.refused), "")

    def _row(self, request: Request, completion: Completion) -> dict[str, Any]:
        text = completion.text
        answer, _ = extract_answer(text, self.settings.extract)
        return {
            **self.asked,
            "key": request.key,
            "sample_id": request.id,
            "question": request.question,
            "text": text,
            "answer": text if answer is None else answer,
            "num_tokens": completion.num_tokens,
            "truncated": completion.truncated,
            "well_formed": parse_response(text, self.settings.grammar).well_formed,
        }


def _key_of(settings: Evaluation) -> str:
    """Of what decides an answer beside the request: the same one may be worded in other tags."""
    deciding = settings.model_dump_json(include={"grammar", "extract", "system_prompt", "seed"})
    return hashlib.sha256(deciding.encode()).hexdigest()[:8]


def _batches(requests: Sequence[Request], size: int) -> Iterator[list[Request]]:
    """Requests that are sampled alike, so many at once."""
    for _, alike in groupby(requests, key=lambda request: request.sampling):
        found = list(alike)
        yield from (found[start : start + size] for start in range(0, len(found), size))


def _to_sample(request: Request) -> Sample:
    """The words are the task's; its image markers hold only where they match the images."""
    text = request.question
    if text.count(IMAGE) not in (0, len(request.images)):
        text = text.replace(IMAGE, " ")
    return Sample(
        id=request.id, question=text, answer="", kind="text", images=request.images, source=FOLDER
    )


def task_sampling(asked: Mapping[str, Any], own: Sampling, most_tokens: int | None) -> Sampling:
    """How a task wants answers drawn: its temperature and top-p, its length unless one is given.

    Its stop strings are left out: many tasks stop at an empty line, and ours answer behind one.
    """
    drawn = bool(asked.get("do_sample", float(asked.get("temperature") or 0.0) > 0))
    length = most_tokens or asked.get("max_new_tokens") or own.max_new_tokens
    sampling = own.model_copy(update={"max_new_tokens": int(length)})
    if not drawn:
        return sampling.greedy()
    changes = {"temperature": float(asked.get("temperature") or 1.0)}
    return sampling.model_copy(update=changes | {"top_p": float(asked.get("top_p") or 1.0)})


def encode_visual(visual: Any, task: str) -> bytes:
    """A task's picture as PNG; videos and sounds are refused."""
    from PIL import Image

    from observe_r1.pictures import as_seen

    if isinstance(visual, str) and Path(visual).is_file():
        visual = _open(visual, task)
    if not isinstance(visual, Image.Image):
        raise DataError(
            f"lmms-eval's task '{task}' shows a {type(visual).__name__}, and only pictures can be "
            "seen here. Choose a task about pictures."
        )
    buffer = io.BytesIO()
    as_seen(visual).save(buffer, format="PNG")
    return buffer.getvalue()


def _open(path: str, task: str) -> Any:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path)
    except UnidentifiedImageError:
        raise DataError(
            f"lmms-eval's task '{task}' shows {path}, which is no picture. Choose a task about "
            "pictures."
        ) from None


def run_task(
    task: str,
    engine: RolloutEngine,
    settings: Evaluation,
    out: Path,
    *,
    recorded_as: str = "",
    limit: int | None = None,
    tasks_folder: str | None = None,
    most_tokens: int | None = None,
    tick: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """lmms-eval's results of a task, as written to ``results.json``; ``recorded_as`` names the
    model that answers."""
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    from observe_r1.stages.lmms_model import EngineModel

    manager = TaskManager(include_path=tasks_folder)
    if task not in manager.all_tasks:
        raise ConfigError(
            f"lmms-eval has no task '{task}'. 'lmms-eval --tasks list' names them; tasks of your "
            "own are read from the folder given with --source."
        )
    model = EngineModel(
        engine, settings, out / FOLDER, recorded_as=recorded_as, most_tokens=most_tokens, tick=tick
    )
    found = simple_evaluate(
        model=model, tasks=[task], limit=limit, task_manager=manager,
        batch_size=settings.batch_size, log_samples=True,
    )  # fmt: skip
    result = {
        "results": found["results"],
        "answers": model.num_answers,
        "versions": found.get("versions", {}),
    }
    write_json(out / FOLDER / task / RESULTS, result)
    return result


def manifest() -> Any:
    """What lmms-eval's entry point "lmms_eval.models" is given."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest("observe_r1", simple_class_path="observe_r1.stages.lmms_model.ObserveR1")
