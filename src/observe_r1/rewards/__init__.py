"""What a completion is worth. To add a reward: one file here, one name in ``table``."""

from observe_r1.rewards.attempt import Attempt
from observe_r1.rewards.bonus import AnyBonus, Bonus, ReleasedBonus
from observe_r1.rewards.health import RewardHealth
from observe_r1.rewards.score import Scoring, give_bonus, score_group
from observe_r1.rewards.table import REWARDS, Reward

__all__ = [
    "REWARDS",
    "AnyBonus",
    "Attempt",
    "Bonus",
    "ReleasedBonus",
    "Reward",
    "RewardHealth",
    "Scoring",
    "give_bonus",
    "score_group",
]
