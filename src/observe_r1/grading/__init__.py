"""Grading: is an answer right? ``grade`` for a completion, ``check_gold`` for a gold at import."""

from observe_r1.grading.extract import Extract, extract_answer
from observe_r1.grading.grade import Grade, grade
from observe_r1.grading.kinds import KINDS, check_gold, infer_kind
from observe_r1.grading.math_checker import start_checker

__all__ = [
    "KINDS",
    "Extract",
    "Grade",
    "check_gold",
    "extract_answer",
    "grade",
    "infer_kind",
    "start_checker",
]
