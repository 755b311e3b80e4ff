"""The point of least norm in the convex hull of a few vectors, by Frank-Wolfe.

Its weights balance objectives: no objective's own direction is opposed by the sum (MGDA).
Vectors are given by their inner products alone, so their length does not matter here.
"""

from collections.abc import Sequence

MAX_ITERATIONS = 20_000
TOLERANCE = 1e-12


def min_norm_weights(gram_M_M: Sequence[Sequence[float]]) -> list[float]:
    """Weights on the simplex that minimise ``wᵀ·Gram·w``.

    Example:
        min_norm_weights([[1.0, 0.0], [0.0, 4.0]]) → [0.8, 0.2]
    """
    num = len(gram_M_M)
    if num == 2:
        return _two(gram_M_M)
    # From the shortest vector: where the answer is a corner, the search is over at once.
    shortest = min(range(num), key=lambda i: gram_M_M[i][i])
    weights = [float(i == shortest) for i in range(num)]
    for _ in range(MAX_ITERATIONS):
        slopes = [sum(g * w for g, w in zip(row, weights, strict=True)) for row in gram_M_M]
        toward = min(range(num), key=slopes.__getitem__)
        away = max((i for i in range(num) if weights[i] > 0), key=slopes.__getitem__)
        gap = slopes[away] - slopes[toward]
        if gap <= TOLERANCE * max(1.0, abs(slopes[away])):
            break
        # Pairwise step: weight moves from the worst vertex in use to the best one.
        curvature = gram_M_M[toward][toward] + gram_M_M[away][away] - 2 * gram_M_M[toward][away]
        moved = min(weights[away], gap / curvature) if curvature > 0 else weights[away]
        weights[toward] += moved
        weights[away] -= moved
    return weights


def _two(gram: Sequence[Sequence[float]]) -> list[float]:
    """Two vectors have a closed form."""
    spread = gram[0][0] + gram[1][1] - 2 * gram[0][1]
    if spread <= 0:
        return [0.5, 0.5]
    first = min(max((gram[1][1] - gram[0][1]) / spread, 0.0), 1.0)
    return [first, 1.0 - first]
