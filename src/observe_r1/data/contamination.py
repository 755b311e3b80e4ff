"""Does a question come from a benchmark? Pictures by perceptual hash, questions by their n-grams.

A picture is shrunk to 17 × 16 grey values; each bit of its hash says whether a value is darker than
its right neighbour (a difference hash, 256 bits), so that encoding and size do not matter. Two
questions share the part of the smaller one's 5-word runs that occur in the other one.

    near-duplicate   pictures at most 6 bits apart, and not almost blank
                     or questions that share 80 %, of 8 words or more
                     or both more weakly: 15 bits and 50 %
"""

import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from observe_r1.data.columns import IMAGE_MARKER
from observe_r1.types import Sample

_SAME_PICTURE_BITS = 6
_LIKE_PICTURE_BITS = 15
_SAME_QUESTION = 0.8
_LIKE_QUESTION = 0.5
_RUN_WORDS = 5
_LEAST_WORDS = 8
_BANDS = 16
"""Hashes at most 15 bits apart agree in one of 16 bands, so looking up the bands misses none."""
_LEAST_MARKED_BITS = 12


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a sample repeats.

    Example:
        Overlap(of="mathvista-17", what="picture", likeness=0.98)
    """

    of: str
    what: str
    likeness: float


class Fingerprints:
    """The pictures and questions of some benchmarks, ready to be compared with.

    Example:
        known = Fingerprints(read_samples("data/mathvista"))
        overlap = known.find(sample)
    """

    def __init__(self, samples: Iterable[Sample] = (), *, names: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        """Whose they are, for the record."""
        self._hashes: list[tuple[int, str]] = []
        self._bands: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._runs: dict[int, list[int]] = defaultdict(list)
        self._questions: list[tuple[int, str]] = []
        """Number of runs, and whose."""
        for sample in samples:
            self.add(sample)

    def add(self, sample: Sample) -> None:
        for image in sample.images:
            picture = picture_hash(image)
            for band in _bands(picture):
                self._bands[band].append(len(self._hashes))
            self._hashes.append((picture, sample.id))
        runs = question_runs(sample.question)
        for run in runs:
            self._runs[run].append(len(self._questions))
        self._questions.append((len(runs), sample.id))

    def find(self, sample: Sample) -> Overlap | None:
        """The closest known question, if it is close enough to be called the same."""
        shared = self._shared(sample.question)
        best_question = max(shared.items(), key=lambda item: item[1], default=("", 0.0))
        if best_question[1] >= _SAME_QUESTION and len(words(sample.question)) >= _LEAST_WORDS:
            return Overlap(best_question[0], "question", best_question[1])
        for image in sample.images:
            picture = picture_hash(image)
            for of, bits in self._near(picture):
                if bits <= _SAME_PICTURE_BITS and _is_marked(picture):
                    return Overlap(of, "picture", 1 - bits / 256)
                if shared.get(of, 0.0) >= _LIKE_QUESTION:
                    return Overlap(of, "picture and question", shared[of])
        return None

    def _shared(self, question: str) -> dict[str, float]:
        """By sample id, the share of runs in common."""
        runs = question_runs(question)
        counts = Counter(index for run in runs for index in self._runs.get(run, ()))
        shares: dict[str, float] = {}
        for index, count in counts.items():
            num_runs, of = self._questions[index]
            shares[of] = max(shares.get(of, 0.0), count / max(1, min(num_runs, len(runs))))
        return shares

    def _near(self, picture: int) -> list[tuple[str, int]]:
        indices = {index for band in _bands(picture) for index in self._bands.get(band, ())}
        near = [(self._hashes[i][1], (self._hashes[i][0] ^ picture).bit_count()) for i in indices]
        return sorted((n for n in near if n[1] <= _LIKE_PICTURE_BITS), key=lambda n: (n[1], n[0]))


def picture_hash(image: bytes) -> int:
    """The 256-bit difference hash of an encoded picture."""
    from PIL import Image

    from observe_r1.pictures import as_seen

    with Image.open(io.BytesIO(image)) as picture:
        picture.draft("L", (68, 64))  # JPEG: decode no larger than needed
        values = as_seen(picture).convert("L").resize((17, 16), Image.Resampling.BOX).tobytes()
    bits = 0
    for row in range(16):
        for column in range(16):
            place = row * 17 + column
            bits = bits << 1 | (values[place] + 2 < values[place + 1])
    return bits


def _is_marked(picture: int) -> bool:
    """Whether a picture has enough edges for its hash to mean something."""
    return picture.bit_count() >= _LEAST_MARKED_BITS


def _bands(picture: int) -> list[tuple[int, int]]:
    return [(band, picture >> (16 * band) & 0xFFFF) for band in range(_BANDS)]


def words(question: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", question.replace(IMAGE_MARKER, " ").lower())


def question_runs(question: str) -> set[int]:
    """Hashes of all runs of five words; of the whole question where it has fewer."""
    found = words(question)
    if not found:
        return set()
    starts = range(max(1, len(found) - _RUN_WORDS + 1))
    runs = (" ".join(found[start : start + _RUN_WORDS]) for start in starts)
    return {int.from_bytes(blake2b(run.encode(), digest_size=8).digest(), "big") for run in runs}
