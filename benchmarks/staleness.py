"""What old rollouts cost: the built-in model trained on rollouts 0, 1, 2 and 4 updates old.

    python benchmarks/staleness.py --seeds 0 1 2 --out build/staleness        # hours on two cores
    python benchmarks/staleness.py --steps 4 --questions 8 --staleness 0 1    # does it run?

Rollouts are drawn ahead by the same process (``rl.staleness``), so accuracy is what a sampler on
a device of its own would give. Wall time is not, and is reckoned from the measured phases: a step
that trains on fresh rollouts takes generate + the rest; one that does not, the longer of the two.
Beside it, ``--uncorrected``: the same without truncated importance weights.

Runs are kept in ``--out``: what is finished is not done again.
"""

import argparse
import json
import statistics
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
    """Accuracy and reckoned seconds of every measurement of one run."""
    from observe_r1.records import read_rows

    curve, seconds = [], 0.0
    for row in read_rows(folder / "metrics.jsonl"):
        rollout = sum(row.get(name, 0.0) for name in ROLLOUT)
        training = sum(row.get(name, 0.0) for name in TRAINING)
        seconds += max(rollout, training) if staleness else rollout + training
        if "eval/accuracy" in row:
            curve.append((row["step"], seconds, row["eval/accuracy"]))
        last = row
    return {
        "curve": curve,
        "accuracy": curve[-1][2],
        "seconds": seconds,
        "mismatch": last.get("mismatch/kl", 0.0),
        "staleness": last["staleness"],
    }


def accuracy_at(arm: dict[str, Any], seconds: float) -> float:
    """The last measurement that was there by then."""
    known = [accuracy for _, at, accuracy in arm["curve"] if at <= seconds]
    return known[-1] if known else 0.0


def table(arms: dict[str, list[dict[str, Any]]], budget: float) -> list[str]:
    """A row an arm: means over seeds, and their standard error."""
    lines = [
        "| rollouts | accuracy at the end | seconds "
        f"| accuracy after {budget:.0f} s | KL of sampler |",
        "|---|---|---|---|---|",
    ]
    for name, found in arms.items():
        ends = [arm["accuracy"] for arm in found]
        error = statistics.stdev(ends) / len(ends) ** 0.5 if len(ends) > 1 else float("nan")
        in_time = statistics.mean(accuracy_at(arm, budget) for arm in found)
        seconds = statistics.mean(arm["seconds"] for arm in found)
        mismatch = statistics.mean(arm["mismatch"] for arm in found)
        lines.append(
            f"| {name} | {100 * statistics.mean(ends):.1f} ± {100 * error:.1f} | {seconds:.0f} | "
            f"{100 * in_time:.1f} | {mismatch:.2g} |"
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
    budget = min(arm["seconds"] for found in arms.values() for arm in found)
    print("\n".join(table(arms, budget)))
    if arguments.json:
        print(json.dumps({"budget": budget, "arms": arms}))


if __name__ == "__main__":
    main()
