"""Registers our estimator and losses with verl: named in VERL_USE_EXTERNAL_MODULES, imported with
verl in every process of a run.

The data set, the replay buffer and the reward manager need no registering: verl loads those from
the paths its configuration gives (``settings.py``).
"""

import verl

from observe_r1.integrations.verl.versions import verl_problem

if problem := verl_problem(verl.__version__):
    raise ImportError(problem)

from observe_r1.integrations.verl import advantage, losses

__all__ = ["advantage", "losses"]
