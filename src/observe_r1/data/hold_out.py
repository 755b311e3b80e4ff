"""Questions kept apart to measure on, chosen while they stream by.

A question goes by its pictures: all questions about a picture are on one side, so that nothing is
measured on what was looked at in training. Which side is decided by a hash of the picture, so that
the same questions are held out whatever comes with them; a question of several pictures, some of
which are known already, goes where those are.
"""

from collections.abc import Callable
from hashlib import blake2b

from observe_r1.types import Sample

NOTE = "held out to measure on"
ON_BOTH_SIDES = "shows pictures of both sides, trained on"


class HoldOut:
    """Decides of each question whether it is held out.

    Example:
        apart = HoldOut(0.05)
        held_out = [sample for sample in samples if apart.takes(sample)]
    """

    def __init__(self, share: float, origin: Callable[[bytes], bytes] | None = None) -> None:
        """``origin`` names a stored picture by the one it was made of."""
        self.share = share
        self._origin = origin or _digest
        self.num_on_both_sides = 0
        self._sides: dict[bytes, bool] = {}

    def takes(self, sample: Sample) -> bool:
        if not self.share:
            return False
        keys = [self._origin(image) for image in sample.images]
        keys = keys or [_digest(sample.question.encode("utf-8", "surrogatepass"))]
        known = {self._sides[key] for key in keys if key in self._sides}
        self.num_on_both_sides += len(known) == 2
        side = min(known) if known else int.from_bytes(keys[0][:8], "big") < self.share * 2**64
        for key in keys:
            self._sides.setdefault(key, side)
        return side


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()
