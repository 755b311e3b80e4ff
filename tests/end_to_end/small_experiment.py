"""An experiment of seconds, in a process that tests can kill: ``python small_experiment.py MODEL OUT JOBS``."""

import sys
from pathlib import Path

from observe_r1.experiments.plan import Experiment
from observe_r1.experiments.running import run_experiment

SMALL = [
    "rl.prompts_per_step=2", "rl.group_size=2", "rl.sampling.max_new_tokens=12", "rl.bonus.floor=3",
    "rl.max_steps=2", "rl.curriculum.epochs=none", "rl.save_every=0",
]  # fmt: skip


def experiment(model: str) -> Experiment:
    return Experiment.model_validate({
        "name": "small", "title": "Small", "recipe": "observe_r1", "model": model, "probed": 6,
        "overrides": SMALL, "budget": {"generated": 5000, "updated": 100_000},
        "measure": {"questions": 4, "samples": 2, "start": True, "curve_questions": 2, "curve_every": 1},
        "arms": [
            {"name": "full", "summary": "all", "seeds": 2},
            {"name": "grpo", "summary": "plain", "seeds": 2, "mixing": "none",
             "overrides": ["rl.bonus=none", "rl.weight.type=uniform"]},
        ],
        "claims": [{"claim": "better", "better": "full", "worse": "grpo", "metric": "accuracy",
                    "smallest": 0.1}],
        "quick": {"arms": ["full"]},
    })  # fmt: skip


if __name__ == "__main__":
    folder, out, jobs = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    run_experiment(
        experiment(folder), out, jobs=jobs,
        notify=lambda trial, result: print(trial.arm, trial.seed, flush=True),
    )  # fmt: skip
