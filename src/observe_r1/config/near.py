"""Which names are near a name that does not exist."""

import difflib
from collections.abc import Iterable


def near(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """The known names most like ``name``, the nearest first; empty when none is like it.

    Example:
        near("weigth", ["weight", "admission"]) == ["weight"]
    """
    return difflib.get_close_matches(name, list(known), n=limit, cutoff=0.6)


def did_you_mean(name: str, known: Iterable[str], all_named: str = "Known") -> str:
    """``" Did you mean weight?"``, or all that is known when nothing is near."""
    known = sorted(known)
    matches = near(name, known)
    if matches:
        return f" Did you mean {' or '.join(matches)}?"
    return f" {all_named}: {', '.join(known)}." if known else ""
