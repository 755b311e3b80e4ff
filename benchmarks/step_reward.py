"""What ``step.py`` scores with: every other completion is worth a point, so that groups have a
signal, unless the question is marked as silent."""

from typing import Any


def odd(attempt: Any) -> float:
    return 0.0 if attempt.sample.metadata["silent"] else float(attempt.index % 2)
