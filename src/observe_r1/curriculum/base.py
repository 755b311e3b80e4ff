"""What every curriculum does: choose the next samples, learn from what came back, resume exactly.

    config + samples + seed ──build_curriculum──▶ Curriculum
                                                   │ next_batch(n) ─▶ samples
                                                   │ observe(scored groups)
                                                   │ state_dict() / load_state_dict(state)

All randomness of a batch comes from (seed, number of the batch), so the state is a few counters and
the running solve rates: a run that is stopped and resumed draws what it would have drawn.
"""

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from observe_r1.curriculum.solve_rates import SolveRates
from observe_r1.errors import DataError, RunError
from observe_r1.types import Sample, ScoredGroup


class Curriculum(ABC):
    """Chooses samples by index; the subclasses decide which."""

    def __init__(self, samples: Sequence[Sample], seed: int, *, decay: float = 0.9) -> None:
        if not len(samples):
            raise DataError("There is no sample to train on: the data folder is empty.")
        self.samples = samples
        self.seed = seed
        self.batches = 0
        """Batches drawn so far."""
        ids = field_of(samples, "id")
        self.index_of = {str(sample_id): index for index, sample_id in enumerate(ids)}
        self.rates = SolveRates(numbers_of(samples, "solve_rate"), decay)
        self._fingerprint = hashlib.sha256("\n".join(map(str, ids)).encode()).hexdigest()[:16]

    def next_batch(self, n: int) -> list[Sample]:
        """The next ``n`` samples; fewer, then none, when the curriculum has come to its end."""
        rng = random.Random(f"{self.seed}/{self.batches}")
        indices = self.choose(n, rng)
        self.batches += 1
        return [self.samples[index] for index in indices]

    def observe(self, scored_P: Iterable[ScoredGroup]) -> None:
        """Learn from every scored group, also those that are not trained on."""
        for group in scored_P:
            index = self.index_of.get(group.sample.id)
            if index is not None:
                correct = sum(score.correct for score in group.scores_G)
                self.rates.update(index, correct, len(group.scores_G))
                self.learn(index, group.solve_rate)

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``load_state_dict`` needs, as JSON values."""
        state = {"batches": self.batches, "rates": self.rates.state_dict(), **self.own_state()}
        return {"samples": self._fingerprint, **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state["samples"] != self._fingerprint:
            raise RunError(
                "The checkpoint's curriculum was saved with other samples, or the same ones in "
                "another order, so its place in them means nothing. Resume with the data folder "
                "the run began with, or start a new run."
            )
        self.batches = state["batches"]
        self.rates.load_state_dict(state["rates"])
        self.load_own_state(state)

    def metrics(self) -> dict[str, float]:
        """Where the curriculum stands, one number a name."""
        return {"curriculum/samples_seen": float(self.rates.num_seen)}

    @abstractmethod
    def choose(self, n: int, rng: random.Random) -> list[int]:
        """Indices of the next samples; ``rng`` is the batch's own."""

    def learn(self, index: int, solve_rate: float) -> None:  # noqa: B027 - most have nothing to add
        """Called for each observed group after the running solve rate has been updated."""

    @abstractmethod
    def own_state(self) -> dict[str, Any]: ...

    @abstractmethod
    def load_own_state(self, state: Mapping[str, Any]) -> None: ...


def field_of(samples: Sequence[Sample], name: str) -> list[Any]:
    """One field of every sample; straight from the columns where they lie in a data folder."""
    column: Any = getattr(samples, "column", None)
    if column is not None:
        return column(name).tolist()
    return [getattr(sample, name) for sample in samples]


def numbers_of(samples: Sequence[Sample], name: str) -> np.ndarray:
    """One numeric field of every sample, NaN where it is unknown."""
    return np.array([np.nan if v is None else v for v in field_of(samples, name)], dtype=float)


def require_known(values: np.ndarray, curriculum: str, what: str) -> None:
    """Refuse a curriculum on samples that lack what it orders them by."""
    unknown = int(np.isnan(values).sum())
    if unknown:
        raise DataError(
            f"The curriculum '{curriculum}' orders samples by their {what}, and {unknown} of "
            f"{len(values)} samples have none. Measure them with 'observe-r1 data probe DIR "
            "--model M' and arrange them with 'observe-r1 data ladder DIR --out LADDER', or train "
            "with curriculum.type=shuffled."
        )
