"""The class that lmms-eval drives; imports lmms-eval, so it is imported only where that is."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lmms_eval.api.model import lmms

from observe_r1.config.evaluation import Evaluation
from observe_r1.errors import ConfigError
from observe_r1.rollout.base import RolloutEngine
from observe_r1.stages.engines import engine_config, open_engine
from observe_r1.stages.evaluation import base_settings, stage_of
from observe_r1.stages.lmms import ANSWERS, Answers, Request, encode_visual, task_sampling
from observe_r1.stages.models import locate_and_name


class EngineModel(lmms):
    """Any rollout engine as a model of lmms-eval's.

    Example:
        simple_evaluate(model=EngineModel(engine, settings, out), tasks=["mmstar"])
    """

    is_simple = True

    def __init__(
        self,
        engine: RolloutEngine,
        settings: Evaluation,
        out: Path,
        *,
        recorded_as: str = "",
        most_tokens: int | None = None,
        tick: Callable[[int], None] = lambda done: None,
    ) -> None:
        super().__init__()
        self.engine = engine
        self.settings = settings
        self.out = out
        self.recorded_as = recorded_as
        self.most_tokens = most_tokens
        self.tick = tick
        self.num_answers = 0

    def generate_until(self, requests: list[Any]) -> list[str]:
        wanted = [self._read(request.args) for request in requests]
        found: dict[str, str] = {}
        for task in dict.fromkeys(name for name, _ in wanted):
            asked = [request for name, request in wanted if name == task]
            path = self.out / task / ANSWERS
            keeper = Answers(self.engine, self.settings, path, self.recorded_as)
            found |= keeper.answer(asked, self.tick)
        self.num_answers += len(wanted)
        return [found[request.key] for _, request in wanted]

    def _read(self, arguments: tuple[Any, ...]) -> tuple[str, Request]:
        question, wanted, to_visual, doc_id, task, split = arguments
        visuals = to_visual(self.task_dict[task][split][doc_id]) if to_visual else []
        images = tuple(encode_visual(visual, task) for visual in visuals or ())
        sampling = task_sampling(wanted, self.settings.sampling, self.most_tokens)
        return task, Request(f"{task}-{split}-{doc_id}", question, images, sampling)

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        raise ConfigError(
            "this lmms-eval task compares the likelihoods of given answers, and a model that "
            "reasons first has none to compare. Choose a task in which answers are generated."
        )

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        raise ConfigError(
            "this lmms-eval task talks in several rounds, which is not supported here. Choose a "
            "task with one question and one answer."
        )


class ObserveR1(EngineModel):
    """What ``lmms-eval --model observe_r1 --model_args model=runs/a,out=runs/a-lmms`` makes.

    ``endpoint`` is the address of an OpenAI-compatible server, ``engine`` one of ours; ``grammar``
    and ``extract`` say how the model is asked where it is none of ours.
    """

    def __init__(
        self,
        model: str,
        out: str = "lmms-answers",
        engine: str = "",
        endpoint: str = "",
        batch_size: int | str = 32,
        max_new_tokens: int | None = None,
        device: str | None = None,
        **settings: Any,
    ) -> None:
        config = engine_config(engine, model, [endpoint] if endpoint else [])
        is_served = config.type == "endpoint"
        located, name = (model, model) if is_served else locate_and_name(model)
        base = base_settings("lmms", stage_of(model)).model_dump(mode="json")
        asked = Evaluation.build(
            base | settings | {"batch_size": int(batch_size)}, "--model_args of observe_r1"
        )
        self._opened = ExitStack()
        opened = self._opened.enter_context(open_engine(located, config))
        super().__init__(opened, asked, Path(out), recorded_as=name, most_tokens=max_new_tokens)

    def clean(self) -> None:
        """Called by lmms-eval when all is answered."""
        self._opened.close()
        super().clean()
