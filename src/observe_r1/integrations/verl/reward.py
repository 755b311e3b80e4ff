"""Our rewards as verl's reward manager: one completion in, every part of its score out by name.

The bonus compares the completions of a group, which verl scores apart, in several processes; it is
added where the group is whole again (``buffer.py``). Validation has no bonus.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from verl import DataProto
from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from observe_r1.data.verl_rows import sample_of
from observe_r1.errors import ObserveError
from observe_r1.integrations.verl.credit import Facts, score_facts
from observe_r1.integrations.verl.plan import plan_path, read_plan
from observe_r1.rewards import Scoring, score_group
from observe_r1.types import Completion, RolloutGroup, Sample


class ObserveRewardManager(RewardManagerBase):
    """Scores completions with the rewards of the recipe."""

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
        super().__init__(config, tokenizer, compute_score)
        stage = read_plan(plan_path(config.data, "data")).stage
        self.scoring: Scoring = stage.model_copy(update={"bonus": None})
        self.limit = int(config.data.max_response_length)

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """verl's call for one completion; grading waits for other processes, so it has a thread."""
        item = data[len(data) - 1]
        ids = item.batch["responses"]
        length = int(item.batch["attention_mask"][-len(ids) :].sum())
        facts = await asyncio.to_thread(self.score, ids[:length].tolist(), item.non_tensor_batch)
        return {"reward_score": facts["score"], "reward_extra_info": facts}

    def score(self, token_ids: Sequence[int], row: Mapping[str, Any]) -> Facts:
        """The facts of one completion. A reward that cannot be computed is told to the driver,
        which stops the run: verl itself would train on without the completion."""
        sample = sample_of(row, images_of(row.get("raw_prompt", ())))
        completion = self.read(token_ids)
        try:
            return score_facts(self._score(sample, completion, row), completion)
        except ObserveError as error:
            return {"score": 0.0, "acc": 0.0, "error": str(error)}

    def _score(self, sample: Sample, completion: Completion, row: Mapping[str, Any]) -> Any:
        step = int(row.get("global_steps", 0))
        rollout = RolloutGroup(sample=sample, completions_G=(completion,), step=step)
        return score_group(rollout, self.scoring, step).scores_G[0]

    def read(self, token_ids: Sequence[int]) -> Completion:
        """A completion that fills the limit and does not end by itself was cut off."""
        ended = bool(token_ids) and token_ids[-1] == self.tokenizer.eos_token_id
        return Completion(
            text=self.tokenizer.decode(token_ids, skip_special_tokens=True),
            token_ids=tuple(token_ids),
            truncated=len(token_ids) >= self.limit and not ended,
        )


def images_of(messages: Sequence[Mapping[str, Any]]) -> tuple[bytes, ...]:
    """The encoded pictures of a prompt, which verl keeps beside the decoded ones."""
    parts = [
        part
        for message in messages
        if not isinstance(message["content"], str)
        for part in message["content"]
    ]
    return tuple(part["bytes"] for part in parts if part.get("type") == "image" and "bytes" in part)
