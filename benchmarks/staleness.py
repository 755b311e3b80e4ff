"""What old rollouts cost: the built-in model trained on rollouts 0, 1, 2 and 4 updates old.

    python benchmarks/staleness.py --seeds 0 1 2 --out build/staleness        # hours on two cores
    python benchmarks/staleness.py --steps 4 --questions 8 --staleness 0 1    # does it run?

Rollouts are drawn ahead by the same process (``rl.staleness``), so accuracy is what a sampler on
a device of its own would give. Wall time is not, and is reckoned from each run's own phases: a step
that trains on fresh rollouts takes generate + the rest; one that does not, the longer of the two,
so a busy machine changes both alike.
Beside it, ``--uncorrected``: the same without truncated importance weights.

Runs are kept in ``--out``: what is finished is not done again.
"""

import argparse
import json
import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

ROLLOUT = ("timing/generate", "timing/score")
TRAINING = ("timing/optimise", "timing/sync")


def overrides_of(staleness: int, seed: int, corrected: bool, arguments: Any) -> tuple[str, ...]:
    every = min(arguments.eval_every, arguments.steps or arguments.eval_every)
    found = [
        f"rl.staleness={staleness}", f"rl.seed={seed}", f"rl.eval_every={every}",
        "heldout.data=puzzles", f"heldout.questions={arguments.questions}", "heldout.samples=4",
        "heldout.greedy=false",
    ]  # fmt: skip
    if arguments.steps:
        found.append(f"rl.max_steps={arguments.steps}")
    if not corrected:
        found.append("rl.loss.truncated_importance=none")
    return tuple(found)


def run_arm(out: Path, staleness: int, seed: int, corrected: bool, arguments: Any) -> Path:
    """One training run; the folder when it is already there."""
    from observe_r1.stages.pipeline import train

    folder = out / f"staleness-{staleness}{'' if corrected else '-uncorrected'}-seed-{seed}"
    if not (folder / "done").exists():
        is_there = (folder / "config.json").exists()
        settings = overrides_of(staleness, seed, corrected, arguments)
        train(arguments.recipe, out=folder, overrides=settings, resume=is_there)
        (folder / "done").touch()
    return folder


def read_arm(folder: Path, staleness: int) -> dict[str, Any]:
    """Accuracy of every measurement of one run, and when it would have been there."""
    from observe_r1.records import read_rows

    curve, together, apart = [], 0.0, 0.0
    for row in read_rows(folder / "metrics.jsonl"):
        rollout = sum(row.get(name, 0.0) for name in ROLLOUT)
        training = sum(row.get(name, 0.0) for name in TRAINING)
        together += rollout + training
        apart += max(rollout, training) if staleness else rollout + training
        if "eval/accuracy" in row:
            curve.append((row["step"], row["eval/accuracy"]))
        last = row
    return {
        "curve": curve,
        "accuracy": curve[-1][1],
        "time": apart / together,
        "mismatch": last.get("mismatch/kl", 0.0),
        "staleness": last["staleness"],
    }


def accuracy_by(arm: dict[str, Any], fresh_steps: float) -> float:
    """What it had reached when a run on fresh rollouts made that many steps: read between the
    measurements before and after, and never past the last one."""
    points = [(step * arm["time"], right) for step, right in arm["curve"]]
    for (early, low), (late, high) in pairwise(points):
        if early <= fresh_steps < late:
            return float(low + (high - low) * (fresh_steps - early) / (late - early))
    return float(points[-1][1] if fresh_steps >= points[-1][0] else points[0][1])


def with_error(values: list[float]) -> str:
    """Mean and standard error, in per cent."""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{100 * statistics.mean(values):.1f} ± {100 * error:.1f}"


def table(arms: dict[str, list[dict[str, Any]]]) -> list[str]:
    """A row an arm: means over seeds with their standard errors, and seed by seed the difference
    to the first arm."""
    fresh, *others = arms.values()
    ends = [arm["curve"][-1][0] * arm["time"] for found in others or [fresh] for arm in found]
    enough = max(ends)  # until then, every run on old rollouts has ended
    lines = [
        "| rollouts | accuracy at the end | more than the first | time of a step "
        f"| accuracy in the time of {enough:.0f} fresh steps | KL of sampler |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in arms.items():
        gains = [
            arm["accuracy"] - other["accuracy"] for arm, other in zip(found, fresh, strict=True)
        ]
        lines.append(
            f"| {name} | {with_error([arm['accuracy'] for arm in found])} | {with_error(gains)} "
            f"| {statistics.mean(arm['time'] for arm in found):.2f} "
            f"| {with_error([accuracy_by(arm, enough) for arm in found])} "
            f"| {statistics.mean(arm['mismatch'] for arm in found):.2g} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="observe_r1")
    parser.add_argument("--staleness", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--uncorrected", type=int, nargs="*", default=[1, 4])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=0, help="0: as many as the recipe has")
    parser.add_argument("--eval-every", type=int, default=20)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("build/staleness"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    wanted = [(k, True) for k in arguments.staleness] + [(k, False) for k in arguments.uncorrected]
    arms: dict[str, list[dict[str, Any]]] = {}
    for seed in arguments.seeds:
        for staleness, corrected in wanted:
            name = f"{staleness} updates old{'' if corrected else ', uncorrected'}"
            folder = run_arm(arguments.out, staleness, seed, corrected, arguments)
            arms.setdefault(name, []).append(read_arm(folder, staleness))
    print("\n".join(table(arms)))
    if arguments.json:
        print(json.dumps(arms))


if __name__ == "__main__":
    main()
