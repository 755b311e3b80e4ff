"""What a reward sees of one completion: everything already read and graded, once."""

from dataclasses import dataclass, field

from observe_r1.grading import Grade
from observe_r1.text import Response
from observe_r1.types import Completion, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One completion with its sample, its sections and its grade.

    Example:
        Attempt(sample=sample, completion=completion, response=response, grade=grade, index=0,
                step=12, grammar="think_answer")
    """

    sample: Sample
    completion: Completion = field(repr=False)
    response: Response
    grade: Grade
    index: int
    """Place of the completion in its group."""
    step: int
    grammar: str

    @property
    def text(self) -> str:
        return self.completion.text

    @property
    def correct(self) -> bool:
        return self.grade.correct

    @property
    def well_formed(self) -> bool:
        return self.response.well_formed

    @property
    def num_tokens(self) -> int:
        return self.completion.num_tokens
