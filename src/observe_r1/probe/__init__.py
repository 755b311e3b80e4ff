"""How hard is each sample for a model? N rollouts a sample, stored as they come, never lost.

run      ask, grade, store
store    the rows on disk
results  solve rate, interval, lengths and entropy of every sample
"""

from observe_r1.probe.results import ProbeResults, read_results, write_difficulty
from observe_r1.probe.run import ProbeConfig, ProbeSummary, probe
from observe_r1.probe.store import ProbeRow, ProbeStore, read_probe

__all__ = [
    "ProbeConfig",
    "ProbeResults",
    "ProbeRow",
    "ProbeStore",
    "ProbeSummary",
    "probe",
    "read_probe",
    "read_results",
    "write_difficulty",
]
