"""A server refuses questions: single ones are left out, and all of them are a mistake of ours.

A wrong model name or setting is refused with the same statuses as a question that is too long or
against a provider's rules. What tells them apart is whether other questions are answered.
"""

from observe_r1.errors import EngineError

MOST_IN_A_ROW = 10
"""Questions refused one after the other, with none answered between them, that end a job. Where one
in three is refused that is once in some 90,000 questions, where nine in ten are, once in twenty."""


class Refusals:
    """What a job is refused, question by question.

    Example:
        refusals = Refusals("stage 'teach'")
        refusals.note("status 400: too long")
        refusals.check(at_end=True)
    """

    def __init__(self, job: str, *, has_answers: bool = False) -> None:
        self.job = job
        self.has_answers = has_answers
        """Whether anything was answered; before that a refusal may be of everything."""
        self.are_too_many = False
        """Once they were, they stay so: answers that were on their way do not change it."""
        self.last = ""
        self._in_a_row: set[str] = set()
        """The questions that were refused since the last answer."""

    def note(self, refused: str, question: str | None = None) -> None:
        """Of one call the server's words; empty where it answered. Calls about the same
        ``question`` count once; without it each is about another."""
        self.last = refused or self.last
        self.has_answers |= not refused
        if refused:
            self._in_a_row.add(question or str(len(self._in_a_row)))
        else:
            self._in_a_row.clear()
        self.are_too_many |= len(self._in_a_row) >= MOST_IN_A_ROW

    def check(self, *, at_end: bool = False) -> None:
        """Raise where it makes no sense to go on: nearly everything is refused, or, at the end of
        a small job, nothing at all was answered."""
        if self.last and (self.are_too_many or (at_end and not self.has_answers)):
            what = f"the last {MOST_IN_A_ROW} questions" if self.has_answers else "every question"
            raise EngineError(
                f"{self.job}: the server refused {what}, the last time with: {self.last} A wrong "
                "model name or setting is refused in the same way as a single question; put it "
                "right. If it is the questions, take them out or, where others were answered, just "
                "go on. What was answered is kept: run the same command again, training with "
                "--resume."
            )
