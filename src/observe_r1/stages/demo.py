"""The demonstration: probe the built-in model, build a ladder, train, and measure before and after.

puzzles (training side) ──probe──▶ solve rates ──▶ out/ladder ──observe_r1──▶ out/run
puzzles (held-out side) ──▶ eval/before(-greedy) … eval/after(-greedy), in out/run
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from observe_r1.config.run import RunConfig
from observe_r1.config.stages import RLStage
from observe_r1.data.ladder import LadderConfig, build_ladder
from observe_r1.data.ladder_folder import write_ladder
from observe_r1.data.puzzles import MIX, get_family, held_out
from observe_r1.data.puzzles.shipped import training_stream
from observe_r1.errors import RunError
from observe_r1.eval.asked import keep_questions
from observe_r1.eval.run import PREDICTIONS, evaluate
from observe_r1.eval.scores import Scores
from observe_r1.probe import ProbeConfig, ProbeStore, probe, read_probe, read_results
from observe_r1.recipes import load_recipe
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.records import read_json, read_rows, write_json
from observe_r1.rollout.base import RolloutEngine
from observe_r1.stages.engines import open_engine
from observe_r1.stages.measure import evaluation_of
from observe_r1.stages.models import TINY
from observe_r1.stages.pipeline import run_recipe
from observe_r1.stages.questions import correct_length, refuse_overlap
from observe_r1.types import Sample

TRAINING_SEED = 50_000
"""The demonstration's own stream of training puzzles; the seed of the run is added to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSizes:
    """How much is probed, trained and measured: about six minutes on two cores."""

    probed: int = 480
    """Training puzzles whose solve rate is measured, and of which the ladder is made."""
    rollouts: int = 8
    held_out: int = 200
    samples: int = 8
    """Sampled answers to each held-out puzzle."""
    overrides: tuple[str, ...] = ()
    """Changes to the recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demonstration shows."""

    run: Path
    report: Path | None
    scores: dict[str, Scores]
    """``before``, ``before-greedy``, ``after``, ``after-greedy``."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each part."""


Watch = Callable[[str, int | None], "Iterator[Callable[[int, str], None]]"]


@dataclass(slots=True)
class Demo:
    """The parts in order; each ``with self.part`` is timed and shown.

    Example:
        result = Demo(out=Path("runs/demo"), sizes=DemoSizes(), seed=0, watch=progress).run()
    """

    out: Path
    sizes: DemoSizes
    seed: int
    watch: Callable
    """``watch(name, total)`` is a context that gives a ``tick(done, note)``."""
    model: str = TINY
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> DemoResult:
        _refuse_occupied(self.out)
        training, questions = self._puzzles()
        with open_engine(self.model) as engine:
            self._build_ladder(engine, training)
            run = self._resolve()
            scores = self._measure(engine, run.rl_stage, questions, "before", self.out / "before")
        self._train(run)
        with open_engine(str(self.out / "run")) as engine:
            folder = self.out / "run" / "eval"
            scores |= self._measure(engine, run.rl_stage, questions, "after", folder)
        self._collect(questions)
        return DemoResult(
            run=self.out / "run", report=self._report(), scores=scores, seconds=self.seconds
        )

    def _puzzles(self) -> tuple[list[Sample], list[Sample]]:
        with self._part("drawing puzzles", None):
            families = [get_family(name) for name in MIX]
            training = training_stream(families, TRAINING_SEED + self.seed, self.sizes.probed)
            questions = held_out(self.sizes.held_out)
            refuse_overlap(questions, training, "the training puzzles")
        return training, questions

    def _build_ladder(self, engine: RolloutEngine, training: list[Sample]) -> None:
        stage = self._stage()
        config = ProbeConfig(
            rollouts=self.sizes.rollouts,
            grammar=stage.grammar,
            extract=stage.extract,
            sampling=stage.sampling,
            direct=False,
            batch_size=32,
            seed=self.seed,
        )
        store_folder = self.out / "probe"
        with (
            self._part("probing", len(training)) as tick,
            ProbeStore(store_folder, config.identity(self.model)) as store,
        ):
            probe(training, engine, config, store, on_progress=lambda _, done: tick(done))
        results = read_results(store_folder)
        # Golds are right by construction: what was never solved needs no review.
        settings = LadderConfig(unsolved="keep", easy_cut=0.0)
        ladder = build_ladder(training, results.difficulty, settings, seed=self.seed)
        folder = self.out / "ladder"
        write_ladder(folder, training, ladder, settings, seed=self.seed, source="puzzles")
        note_correct_length(folder, store_folder)

    def _stage(self) -> RLStage:
        choice = Choice(
            model=self.model, data="puzzles", preset="tiny", overrides=self._overrides()
        )
        return resolve(load_recipe("observe_r1"), choice, Machine(), lambda percent: 0).rl_stage

    def _resolve(self) -> RunConfig:
        data = str(self.out / "ladder")
        choice = Choice(model=self.model, data=data, preset="tiny", overrides=self._overrides())
        return resolve(
            load_recipe("observe_r1"), choice, Machine(), lambda p: correct_length(data, p)
        )

    def _overrides(self) -> tuple[str, ...]:
        return (f"rl.seed={self.seed}", "rl.curriculum.epochs=none", *self.sizes.overrides)

    def _measure(
        self,
        engine: RolloutEngine,
        stage: RLStage,
        questions: Sequence[Sample],
        name: str,
        folder: Path,
    ) -> dict[str, Scores]:
        found = {}
        with self._part(f"measuring {name}", 2 * len(questions)) as tick:
            for samples in (self.sizes.samples, None):
                # One seed for all runs: the same dice before and after, whatever was trained.
                config = evaluation_of(stage, name, samples=samples, seed=0)
                config = config.model_copy(update={"batch_size": 32})
                found[config.name] = evaluate(
                    engine, questions, config, folder / config.name, model=name, tick=tick
                )
        return found

    def _train(self, run: RunConfig) -> None:
        with self._part("training", run.rl_stage.max_steps) as tick:

            def notify(stage: str, step: int, total: int | None, metrics: dict[str, float]) -> None:
                right, form = metrics.get("accuracy", 0.0), metrics.get("format", 0.0)
                tick(1, f"right {100 * right:.0f}%, format {100 * form:.0f}%")

            run_recipe(run, self.out / "run", notify=notify)

    def _collect(self, questions: Sequence[Sample]) -> None:
        """The measurement from before joins the run folder, with its questions for the report."""
        for folder in sorted((self.out / "before").iterdir()):
            os.replace(folder, self.out / "run" / "eval" / folder.name)
        shutil.rmtree(self.out / "before")
        keep_questions(self.out / "run", questions)

    def _report(self) -> Path | None:
        with self._part("writing the report", None):
            from observe_r1.report.pages import write_report

            return write_report(self.out / "run")

    @contextmanager
    def _part(self, name: str, total: int | None) -> Iterator[Callable]:
        started = time.perf_counter()
        with self.watch(name, total) as tick:
            yield tick
        self.seconds[name] = time.perf_counter() - started


def predictions(run: Path, name: str) -> list[dict]:
    """The answers of one of the four measurements."""
    return list(read_rows(run / "eval" / name / PREDICTIONS))


def _refuse_occupied(out: Path) -> None:
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise RunError(f"{out} is not empty, and nothing is overwritten. Choose another --out.")


def note_correct_length(ladder: Path, store: Path) -> None:
    """The 25th percentile of the probe's correct lengths, where the recipe looks for it."""
    rows = read_probe(store)
    lengths = sorted(c.num_tokens for row in rows for c in row.completions if c.correct)
    if lengths:
        history = read_json(ladder / "ladder.json")
        history["correct_length_p25"] = float(lengths[len(lengths) // 4])
        write_json(ladder / "ladder.json", history)
