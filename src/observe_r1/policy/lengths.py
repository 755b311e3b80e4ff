"""How long a prompt is at most, from its text and the sizes of its pictures: thousands of prompts a
second where preparing the pictures would be tens."""

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any

from observe_r1.errors import DataError
from observe_r1.policy.prompts import chat_messages
from observe_r1.types import Sample

AROUND = 16
"""Tokens that some families write around a picture and do not count as the picture's."""


@dataclass(frozen=True, slots=True)
class Length:
    """No prompt is longer than ``tokens``, of which ``of_pictures`` are its pictures'."""

    tokens: int
    of_pictures: int


class PromptLengths:
    """Counts prompts without preparing them.

    Example:
        lengths = PromptLengths(policy.processor)
        lengths.at_most(sample, "Answer in one word.")      # Length(187, 160): the prompt has 171
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        # What Transformers has for servers, which plan their memory by it; not all families do.
        self._count_pictures = getattr(processor, "_get_num_multimodal_tokens", None)
        self._of_size = cache(self._picture_tokens)

    def at_most(self, sample: Sample, system_prompt: str, enough: int = 0) -> Length | None:
        """How long the prompt of this sample is at most; None where the family does not say. A
        text is not taken apart where a token for each of its bytes would be no more than
        ``enough``."""
        if sample.images and self._count_pictures is None:
            return None
        text = self.processor.apply_chat_template(
            chat_messages(sample, system_prompt), add_generation_prompt=True, tokenize=False
        )
        counts = [self._of_size(*picture_size(data, sample.id)) for data in sample.images]
        if None in counts:
            return None
        pictures = sum(filter(None, counts))
        num_bytes = len(text.encode()) + 1  # and a first token
        if num_bytes + pictures <= enough:
            return Length(num_bytes + pictures, pictures)
        return Length(len(self.tokenizer(text)["input_ids"]) + pictures, pictures)

    def _picture_tokens(self, width: int, height: int) -> int | None:
        assert self._count_pictures is not None
        try:
            counted = self._count_pictures(image_sizes=[(height, width)])
            return int(counted["num_image_tokens"][0]) + AROUND
        except Exception:  # a family's own code, for servers, which it may not keep up
            return None


def picture_size(data: bytes, sample_id: str) -> tuple[int, int]:
    """Width and height as its header has them."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data)) as picture:
            return picture.size
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"An image of sample '{sample_id}' cannot be opened: {error}.") from None
