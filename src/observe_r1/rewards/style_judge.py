"""A learned judge of style: is this reasoning a sketch or an essay? (SketchThinker-R1)

Logistic regression on word n-grams. A text's n-gram counts are scaled to length one and digits are
all alike, so neither the length nor the answer of a text is told to the judge. Whether it is a
detector of length in disguise is measured all the same, three ways, and kept beside its weights:

    auc                 on held-out texts as they are
    auc_length_alone    of the number of words by itself: near 1, style and length go together
    auc_length_matched  long texts cut to the length of the short ones: must stay well above 0.5
"""

import json
import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from observe_r1.errors import DataError
from observe_r1.records import write_atomic

_WORD = re.compile(r"[A-Za-z]+|\d+|\n|[^\sA-Za-z\d]")
LARGEST_VOCABULARY = 400
LARGEST_N = 3
RIDGE = 1.0
STEPS = 25
"""Newton's method: with the ridge it has long converged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeChecks:
    """How well the judge tells styles apart, and how much of that is length.

    Example:
        JudgeChecks(auc=0.99, auc_length_alone=0.93, auc_length_matched=0.97, num_texts=400)
    """

    auc: float
    auc_length_alone: float
    auc_length_matched: float
    num_texts: int
    """Held-out texts that the figures are of."""

    @property
    def is_length_detector(self) -> bool:
        """Whether most of what the judge knows is gone when lengths are equal."""
        return self.auc_length_matched - 0.5 < (self.auc - 0.5) / 2


@dataclass(frozen=True, slots=True)
class StyleJudge:
    """Weights of n-grams; ``probability`` is near 1 for the style and near 0 for the other.

    Example:
        judge = fit_judge(sketches, essays, seed=0)
        judge.probability("1. 2 + 1 = 3")
    """

    weights: Mapping[str, float] = field(repr=False)
    bias: float
    checks: JudgeChecks | None = None

    def probability(self, text: str) -> float:
        found = features(text)
        total = self.bias + math.fsum(self.weights.get(gram, 0.0) * v for gram, v in found.items())
        return 1.0 / (1.0 + math.exp(-max(min(total, 60.0), -60.0)))


def features(text: str) -> dict[str, float]:
    """The n-grams of a text, scaled to length one; digits are all alike.

    Example:
        features("12 + 1") has the keys "#", "+", "# +", "+ #", "# + #"
    """
    words = ["#" if word.isdigit() else word.lower() for word in _WORD.findall(text)]
    counts = Counter(
        " ".join(words[i : i + n])
        for n in range(1, LARGEST_N + 1)
        for i in range(len(words) - n + 1)
    )
    norm = math.sqrt(math.fsum(count * count for count in counts.values()))
    return {gram: count / norm for gram, count in counts.items()}


def fit_judge(
    style: Sequence[str], other: Sequence[str], *, seed: int = 0, held_out_share: float = 0.2
) -> StyleJudge:
    """Fit on most of the texts, check on the rest. Equal texts on both sides are refused."""
    _refuse_useless(style, other)
    rng = random.Random(f"style judge/{seed}")
    style_fit, style_held = _split(style, held_out_share, rng)
    other_fit, other_held = _split(other, held_out_share, rng)
    weights, bias = _fit(style_fit, other_fit)
    judge = StyleJudge(weights, bias)
    return StyleJudge(weights, bias, check_judge(judge, style_held, other_held))


def check_judge(judge: StyleJudge, style: Sequence[str], other: Sequence[str]) -> JudgeChecks:
    """Areas under the curve of the judge, of length alone, and of the judge at equal lengths."""
    lengths = sorted(len(_WORD.findall(text)) for text in style)
    typical = lengths[len(lengths) // 2]
    cut = [_first_words(text, typical) for text in other]
    return JudgeChecks(
        auc=_auc([judge.probability(t) for t in style], [judge.probability(t) for t in other]),
        auc_length_alone=_auc(
            [-float(len(_WORD.findall(t))) for t in style],
            [-float(len(_WORD.findall(t))) for t in other],
        ),
        auc_length_matched=_auc(
            [judge.probability(_first_words(t, typical)) for t in style],
            [judge.probability(t) for t in cut],
        ),
        num_texts=len(style) + len(other),
    )


def save_judge(judge: StyleJudge, path: Path) -> None:
    write_atomic(path, json.dumps(asdict(judge), indent=1) + "\n")


@lru_cache(maxsize=16)
def load_judge(path: str) -> StyleJudge:
    """A judge as ``save_judge`` wrote it."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
        checks = JudgeChecks(**values["checks"]) if values["checks"] else None
        return StyleJudge(dict(values["weights"]), float(values["bias"]), checks)
    except FileNotFoundError:
        raise DataError(
            f"there is no style judge at {path}. Name a judge stage of the recipe, or the "
            "judge.json that such a stage wrote."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no style judge ({type(error).__name__}: {error}). It is written by a "
            "judge stage; let one write it anew."
        ) from None


def _refuse_useless(style: Sequence[str], other: Sequence[str]) -> None:
    if min(len(style), len(other)) < 10:
        raise DataError(
            f"a style judge needs at least 10 texts of each style; there are {len(style)} and "
            f"{len(other)}. Give it more traces."
        )
    if shared := {*style} & {*other}:
        raise DataError(
            f"{len(shared)} texts are given as both styles, for example {sorted(shared)[0][:60]!r}."
            " Keep those out of one side."
        )


def _split(
    texts: Sequence[str], held_out_share: float, rng: random.Random
) -> tuple[list[str], list[str]]:
    shuffled = rng.sample(list(texts), len(texts))
    held = max(2, round(held_out_share * len(texts)))
    return shuffled[held:], shuffled[:held]


def _fit(style: Sequence[str], other: Sequence[str]) -> tuple[dict[str, float], float]:
    """Ridge logistic regression by Newton's method; the bias is not held back."""
    found = [features(text) for text in (*style, *other)]
    documents = Counter(gram for grams in found for gram in grams)
    vocabulary = [gram for gram, _ in documents.most_common(LARGEST_VOCABULARY)]
    place = {gram: i for i, gram in enumerate(vocabulary)}
    x = np.zeros((len(found), len(vocabulary) + 1))
    x[:, -1] = 1.0
    for row, grams in enumerate(found):
        for gram, value in grams.items():
            if gram in place:
                x[row, place[gram]] = value
    y = np.array([1.0] * len(style) + [0.0] * len(other))
    ridge = np.full(x.shape[1], RIDGE)
    ridge[-1] = 1e-6
    w = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(x @ w, -60, 60)))
        gradient = x.T @ (p - y) + ridge * w
        curvature = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        w = w - np.linalg.solve(curvature, gradient)
    return dict(zip(vocabulary, map(float, w[:-1]), strict=True)), float(w[-1])


def _first_words(text: str, count: int) -> str:
    found = list(_WORD.finditer(text))[:count]
    return text[: found[-1].end()] if found else ""


def _auc(high: Sequence[float], low: Sequence[float]) -> float:
    """How often a value of the first kind is above one of the second; ties count half.

    Example:
        _auc([2, 3], [1, 2]) == 0.875
    """
    wins = sum((h > v) + 0.5 * (h == v) for h in high for v in low)
    return wins / (len(high) * len(low))
