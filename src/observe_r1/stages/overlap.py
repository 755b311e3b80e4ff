"""Questions that a model is measured on and was trained on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from observe_r1.data.contamination import Fingerprints
from observe_r1.stages.questions import load_questions
from observe_r1.types import Sample


@dataclass(frozen=True, slots=True)
class SharedQuestion:
    """A question of the evaluation that the training data repeats, and in what.

    Example:
        SharedQuestion("mathvista-17", "train-204", "picture")
    """

    question_id: str
    training_id: str
    what: str


def find_overlap(questions: Sequence[Sample], training: str) -> list[SharedQuestion]:
    """Near-duplicates of the questions in a training data folder, one a question."""
    return _overlaps(questions, load_questions(training))


def _overlaps(questions: Sequence[Sample], training: Iterable[Sample]) -> list[SharedQuestion]:
    known = Fingerprints(questions)
    found: dict[str, SharedQuestion] = {}
    for sample in training:
        overlap = known.find(sample)
        if overlap is not None:
            found.setdefault(overlap.of, SharedQuestion(overlap.of, sample.id, overlap.what))
    return list(found.values())
