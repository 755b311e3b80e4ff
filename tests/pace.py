"""How work grows with its input, whatever the machine and whatever else it does."""

import time
from collections.abc import Callable


def times_as_long(work: Callable[[str], object], small: str, large: str) -> float:
    """Processor time for the large text over that for the small one: the best of five each, taken
    in turns, so that a slow moment of the machine is one of both."""
    best = {small: float("inf"), large: float("inf")}
    for _ in range(5):
        for text in best:
            start = time.process_time()
            work(text)
            best[text] = min(best[text], time.process_time() - start)
    return best[large] / best[small]
