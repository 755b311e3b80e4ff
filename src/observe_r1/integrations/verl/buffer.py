"""verl's replay buffer, with one more duty: when a batch is complete, its groups are credited.

    super().sample() ─▶ rows of finished prompts
        read      every row's facts and sample from verl's storage
        credit    bonus, admission, advantage, group weight (credit.py)
        tell      curriculum, estimator, metrics
        write     reward with its bonus, the row's own key, masks of what does not count

Where a recipe replaces rejected groups, verl asks which finished groups to drop: the recipe's
admission answers.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import transfer_queue as tq
from tensordict import TensorDict
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.utils import tensordict_utils as tu

from observe_r1.data.verl_rows import sample_of
from observe_r1.errors import ConfigError
from observe_r1.integrations.verl.credit import (
    Attempted,
    Credit,
    batch_metrics,
    by_group,
    give_credit,
    scored_groups,
)
from observe_r1.integrations.verl.live import LIVE
from observe_r1.integrations.verl.plan import plan_path, read_plan
from observe_r1.integrations.verl.settings import ACCURACY
from observe_r1.types import ScoredGroup

TRAINING = "train"
FIELDS = ["extra_fields", "extra_info", "reward_model", "data_source", "ability"]


class ObserveReplayBuffer(ReplayBuffer):
    """A synchronous replay buffer that knows the recipe."""

    def __init__(self, trainer_mode: str, sampler_kwargs: Any, **rest: Any) -> None:
        if trainer_mode != "sync":
            raise ConfigError(
                f"trainer.v1.trainer_mode is '{trainer_mode}', but groups of several steps would "
                "be weighed together. Set it to sync."
            )
        self.plan = read_plan(plan_path(sampler_kwargs, "trainer.v1.sampler.sampler_kwargs"))
        self.is_admitted: dict[str, bool] = {}
        """Verdicts on finished groups, by prompt."""
        if self.plan.replaces_rejected:
            rest |= {
                "filter_groups_metric": ACCURACY,
                "train_batch_size": self.plan.stage.prompts_per_step,
                "gen_batch_size": 1,
            }
        super().__init__(trainer_mode=trainer_mode, sampler_kwargs=sampler_kwargs, **rest)

    def sample(
        self, global_steps: int, partition_id: str, batch_size: int
    ) -> tuple[Any, dict[str, Any]]:
        batch, metrics = super().sample(
            global_steps=global_steps, partition_id=partition_id, batch_size=batch_size
        )
        attempts = read_attempts(batch.keys, partition_id)
        if partition_id == TRAINING:
            metrics |= self._credit(batch, attempts, global_steps)
        else:
            by_group(attempts)  # raises for a reward that failed
        return batch, metrics

    def _credit(self, batch: Any, attempts: list[Attempted], step: int) -> dict[str, float]:
        credits, weighted = give_credit(attempts, self.plan.stage, step)
        LIVE.credits = credits
        if not self.plan.replaces_rejected:  # those have been seen when they were judged
            _observe(group.scored for group in weighted)
        write_credits(batch.keys, [credits[key] for key in batch.keys])
        missing = len(weighted) * self.plan.stage.group_size - len(attempts)
        place = LIVE.curriculum.metrics() if LIVE.curriculum is not None else {}
        return batch_metrics(weighted) | place | {"observe_r1/lost_completions": float(missing)}

    def _dapo_filtered_keys(self, partition_id: str) -> tuple[set[str], Counter[float]]:
        """verl's question which finished groups to drop, and the accuracy they have in common."""
        if partition_id != TRAINING or not self.plan.replaces_rejected:
            return set(), Counter()
        finished = self.finished_keys[partition_id]
        self.is_admitted = {k: v for k, v in self.is_admitted.items() if k in finished}
        new = finished - self.is_admitted.keys()
        rows = [key for key in self.partitions[partition_id] if key.split("_")[0] in new]
        groups = self._judge(rows) if rows else []
        rejected = {uid for uid in finished if not self.is_admitted.get(uid, True)}
        return rejected, Counter(g.solve_rate for g, admitted in groups if not admitted)

    def _judge(self, keys: Sequence[str]) -> list[tuple[ScoredGroup, bool]]:
        """Admission of groups that have just finished; the curriculum sees all of them."""
        attempts = read_attempts(keys, TRAINING)
        uids = list(dict.fromkeys(attempt.group for attempt in attempts))
        groups = scored_groups(attempts, self.plan.stage, step=0)
        _observe(groups)
        verdicts = [self.plan.stage.admission.admits(group) for group in groups]
        self.is_admitted |= dict(zip(uids, verdicts, strict=True))
        return list(zip(groups, verdicts, strict=True))


def read_attempts(keys: Sequence[str], partition: str) -> list[Attempted]:
    """The facts and samples of some rows, from verl's storage."""
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition, select_fields=FIELDS)
    columns = {name: [_plain(value) for value in data[name]] for name in FIELDS}
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    return [
        Attempted(
            key=key,
            sample=sample_of(row),
            facts=row["extra_fields"]["reward_extra_info"],
        )
        for key, row in zip(keys, rows, strict=True)
    ]


def write_credits(keys: Sequence[str], credits: Sequence[Credit]) -> None:
    """Rewards with their bonus and the keys of the rows; masks of zeros for what does not count."""
    rewards = [_at_the_end(credit) for credit in credits]
    _put(keys, {"rm_scores": rewards}, {"uid": list(keys)})
    left_out = [(key, c) for key, c in zip(keys, credits, strict=True) if not c.counts]
    if left_out:
        masks = [torch.zeros(credit.num_tokens, dtype=torch.int64) for _, credit in left_out]
        names = [key for key, _ in left_out]
        _put(names, {"response_mask": masks, "loss_mask": masks}, {})


def _at_the_end(credit: Credit) -> torch.Tensor:
    scores = torch.zeros(credit.num_tokens, dtype=torch.float32)
    scores[-1:] = credit.reward
    return scores


def _put(
    keys: Sequence[str], tensors: dict[str, list[torch.Tensor]], others: dict[str, list[Any]]
) -> None:
    nested = {
        name: torch.nested.as_nested_tensor(values, layout=torch.jagged)
        for name, values in tensors.items()
    }
    fields: TensorDict = tu.get_tensordict({**nested, **others})
    tq.kv_batch_put(keys=list(keys), partition_id=TRAINING, fields=fields)


def _observe(groups: Iterable[ScoredGroup]) -> None:
    if LIVE.curriculum is not None:
        LIVE.curriculum.observe(groups)


def _plain(value: Any) -> Any:
    """A value without the shell that tensordict puts around what is no tensor."""
    return getattr(value, "data", value)
