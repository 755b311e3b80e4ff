"""What verl must be told before it starts: how long a prompt can get, and how many steps there are.

Prompts are bounded, not measured: that needs the model's processor, and an export needs nothing
but the data. The bound is for Qwen-VL processors and errs upwards; verl pads nothing to it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Self

from observe_r1.config.stages import RLStage
from observe_r1.curriculum import build_curriculum
from observe_r1.errors import ConfigError, DataError
from observe_r1.text import format_question
from observe_r1.types import Sample

PATCH = 28
"""Side of the square that becomes one token, in pixels (Qwen2.5-VL; Qwen3-VL has 32)."""
MOST_IMAGE_TOKENS = 16_384
LEAST_IMAGE_TOKENS = 64
TEMPLATE_TOKENS = 64
ROUND_TO = 128


@dataclass(frozen=True, slots=True)
class Sizes:
    """The largest prompt of a data set.

    Example:
        Sizes(prompt_tokens=1024, images=2)
    """

    prompt_tokens: int = 0
    images: int = 0

    def including(self, sample: Sample, system_prompt: str) -> Self:
        """These sizes or the sample's, whichever is larger."""
        return replace(
            self,
            prompt_tokens=max(self.prompt_tokens, bound_prompt(sample, system_prompt)),
            images=max(self.images, len(sample.images)),
        )


def bound_prompt(sample: Sample, system_prompt: str) -> int:
    """At least as many tokens as the prompt has: a token of text is one byte or more."""
    text = len((system_prompt + format_question(sample)).encode("utf-8", "surrogatepass"))
    images = sum(bound_image(image, sample.id) for image in sample.images)
    return -(-(text + images + TEMPLATE_TOKENS) // ROUND_TO) * ROUND_TO


def bound_image(data: bytes, sample_id: str) -> int:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(BytesIO(data)) as image:  # reads the header only
            width, height = image.size
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"an image of sample '{sample_id}' cannot be opened: {error}.") from None
    tokens = (math.ceil(width / PATCH) + 1) * (math.ceil(height / PATCH) + 1)
    return min(max(tokens, LEAST_IMAGE_TOKENS), MOST_IMAGE_TOKENS)


def without_images(sample: Sample) -> Sample:
    """All that curricula and rewards' bookkeeping need, small enough to keep of every sample."""
    return replace(sample, images=(), metadata={})


def count_steps(stage: RLStage, samples: Sequence[Sample]) -> int:
    """Full batches until ``max_steps`` or the end of the curriculum. The curriculum is tried out,
    so it also refuses samples that lack what it orders them by."""
    _refuse_twins(samples)
    curriculum = build_curriculum(stage.curriculum, samples, stage.seed)
    drawn, limit = 0, (stage.max_steps or math.inf) * stage.prompts_per_step
    while drawn < limit:
        batch = curriculum.next_batch(stage.prompts_per_step)
        if not batch:
            break
        drawn += len(batch)
    steps = drawn // stage.prompts_per_step
    if not steps:
        raise ConfigError(
            f"{len(samples)} questions do not fill one step of {stage.prompts_per_step} prompts. "
            f"Lower {stage.name}.prompts_per_step."
        )
    return steps if stage.max_steps is None else min(steps, stage.max_steps)


def _refuse_twins(samples: Sequence[Sample]) -> None:
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise DataError(
                f"two questions have the id '{sample.id}', so the curriculum could not tell them "
                "apart. Import the data again, or give each row an id of its own."
            )
        seen.add(sample.id)
