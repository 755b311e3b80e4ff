"""Refuse, before step 0, questions that cannot be trained on: nothing is ever truncated
silently."""

from collections.abc import Sequence

from observe_r1.config.stages import RLStage
from observe_r1.errors import DataError
from observe_r1.policy.load import Policy
from observe_r1.types import Sample

NUM_CHECKED = 64
"""Spread evenly over the data; a question that is met later gets the same message then."""


def check_fit(
    stage: RLStage, policy: Policy, samples: Sequence[Sample], system_prompt: str
) -> None:
    """Prompt and completion must fit the model and, in one row, the budget of a micro-batch."""
    limit = policy.model.config.get_text_config().max_position_embeddings
    budget = stage.policy.max_tokens_per_microbatch
    every = max(1, len(samples) // NUM_CHECKED)
    for index in range(0, len(samples), every):
        sample = samples[index]
        length = policy.encode(sample, system_prompt).length
        needed = length + stage.sampling.max_new_tokens
        if needed > min(limit, budget):
            what = "the model's positions" if limit < budget else "policy.max_tokens_per_microbatch"
            new = stage.sampling.max_new_tokens
            raise DataError(
                f"Sample '{sample.id}' has a prompt of {length} tokens, {len(sample.images)} "
                f"image(s) included; with sampling.max_new_tokens = {new} that is {needed}, more "
                f"than {what} ({min(limit, budget)}). Use smaller images ('observe-r1 data import "
                "… --shrink-images-to PIXELS'), fewer new tokens, a larger budget, or leave the "
                "question out; nothing is truncated silently."
            )
