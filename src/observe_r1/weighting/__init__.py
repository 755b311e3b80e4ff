"""What each completion pulls on the policy: advantage, group weight, admission."""

from observe_r1.weighting.admission import Admission, AdmitAll, AdmitMixed, AdmitSolveRateBand
from observe_r1.weighting.advantages import (
    Advantage,
    BatchNormalised,
    GroupMeanStd,
    LeaveOneOut,
    MeanOnly,
    MeanRatio,
    MinNorm,
    NormaliseThenSum,
)
from observe_r1.weighting.group_weights import (
    GroupWeight,
    ReleasedUncertaintyWeight,
    StaticDifficultyWeight,
    UncertaintyWeight,
    UniformWeight,
)
from observe_r1.weighting.min_norm import min_norm_weights
from observe_r1.weighting.user import UserWeight
from observe_r1.weighting.weigh import Weighting, weigh_groups

__all__ = [
    "Admission",
    "AdmitAll",
    "AdmitMixed",
    "AdmitSolveRateBand",
    "Advantage",
    "BatchNormalised",
    "GroupMeanStd",
    "GroupWeight",
    "LeaveOneOut",
    "MeanOnly",
    "MeanRatio",
    "MinNorm",
    "NormaliseThenSum",
    "ReleasedUncertaintyWeight",
    "StaticDifficultyWeight",
    "UncertaintyWeight",
    "UniformWeight",
    "UserWeight",
    "Weighting",
    "min_norm_weights",
    "weigh_groups",
]
