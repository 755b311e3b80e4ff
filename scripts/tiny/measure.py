"""Measure the built-in model: its probe of the training puzzles, and its card.

    python scripts/tiny/measure.py --model src/observe_r1/assets/tiny

Writes `assets/puzzles.json` (the levels that `puzzles` has as a data set) and the model's README.md
(what it was trained on, and accuracy per family, level and mode on held-out puzzles).
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean, quantiles

import torch
from mixture import CAREFUL_SHARE, LOOSE_SHARE, MODES
from train import BATCH, SEED, STEPS

from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Sampling
from observe_r1.data.puzzles import MIX, PUZZLES, held_out
from observe_r1.data.puzzles.shipped import training_stream
from observe_r1.policy.load import load_policy
from observe_r1.records import read_rows, write_atomic
from observe_r1.rewards import Scoring, score_group
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.text import system_prompt
from observe_r1.types import Sample, ScoredGroup

PROBE_SEED = 1
PROBE_SIZE = 1000
ROLLOUTS = 8
CARD_SIZE = 200


def sample_groups(
    engine: SharedPrefillEngine, samples: Sequence[Sample], mode: str, *, greedy: bool = False
) -> list[ScoredGroup]:
    groups = engine.generate(
        samples,
        group_size=1 if greedy else ROLLOUTS,
        sampling=Sampling(temperature=0.0 if greedy else 1.0, max_new_tokens=120),
        system_prompt=system_prompt(mode),
        seed=PROBE_SEED,
    )
    return [score_group(group, Scoring(grammar=mode)) for group in groups]


def share_correct(groups: Iterable[ScoredGroup]) -> float:
    return mean(score.correct for group in groups for score in group.scores_G)


def write_probe(engine: SharedPrefillEngine, path: Path) -> list[ScoredGroup]:
    samples = training_stream([PUZZLES[name] for name in MIX], PROBE_SEED, PROBE_SIZE)
    groups = sample_groups(engine, samples, "observe_think_answer")
    lengths_correct = [
        completion.num_tokens
        for group in groups
        for completion, score in zip(group.rollout.completions_G, group.scores_G, strict=True)
        if score.correct
    ]
    items = [
        [group.solve_rate, round(mean(c.num_tokens for c in group.rollout.completions_G), 2)]
        for group in groups
    ]
    probe = {
        "seed": PROBE_SEED,
        "rollouts": ROLLOUTS,
        "grammar": "observe_think_answer",
        "correct_length_p25": quantiles(lengths_correct, n=4)[0],
        "items": items,
    }
    write_atomic(path, json.dumps(probe) + "\n")
    return groups


def table(groups: Sequence[ScoredGroup]) -> list[str]:
    """Accuracy by family (rows) and level (columns)."""
    cells: dict[tuple[str, int], list[ScoredGroup]] = defaultdict(list)
    for group in groups:
        cells[group.sample.family or "", group.sample.metadata["puzzle_level"]].append(group)
    levels = sorted({level for _, level in cells})
    lines = ["| family | " + " | ".join(f"level {level}" for level in levels) + " |"]
    lines.append("|---" * (len(levels) + 1) + "|")
    for family in MIX:
        shares = [f"{100 * share_correct(cells[family, level]):.0f}" for level in levels]
        lines.append(f"| {family} | " + " | ".join(shares) + " |")
    return lines


def card(engine: SharedPrefillEngine, probed: Sequence[ScoredGroup], training: Path) -> str:
    samples = held_out(CARD_SIZE)
    lines = [_HEAD.format(**_facts(engine, training))]
    for mode in MODES:
        sampled = sample_groups(engine, samples, mode)
        greedy = sample_groups(engine, samples, mode, greedy=True)
        well_formed = mean(score.well_formed for group in sampled for score in group.scores_G)
        lines += [
            f"### {mode}",
            "",
            f"{100 * share_correct(sampled):.1f} % correct at temperature 1, "
            f"{100 * share_correct(greedy):.1f} % greedy, {100 * well_formed:.1f} % well-formed. "
            "At temperature 1, in per cent:",
            "",
            *table(sampled),
            "",
        ]
    levels = Counter(ROLLOUTS - sum(s.correct for s in group.scores_G) for group in probed)
    shares = " | ".join(f"{100 * levels[level] / len(probed):.1f}" for level in range(ROLLOUTS + 1))
    lines += [
        f"### Difficulty of {len(probed)} training puzzles, {ROLLOUTS} rollouts each",
        "",
        "| level | " + " | ".join(str(level) for level in range(ROLLOUTS + 1)) + " |",
        "|---" * (ROLLOUTS + 2) + "|",
        f"| share in per cent | {shares} |",
        "",
    ]
    return "\n".join(lines)


def _facts(engine: SharedPrefillEngine, training: Path) -> dict[str, object]:
    parameters = sum(p.numel() for p in engine.policy.model.parameters())
    hours = sum(_seconds(training)) / 3600
    return {
        "parameters": f"{parameters / 1e6:.2f}", "families": ", ".join(MIX), "steps": STEPS,
        "batch": BATCH, "seed": SEED, "minutes": round(60 * hours), "careful": CAREFUL_SHARE,
        "loose": LOOSE_SHARE, "held": CARD_SIZE,
    }  # fmt: skip


def _seconds(metrics: Path) -> list[float]:
    """Seconds of each uninterrupted piece of training: the clock starts anew at a resume."""
    pieces, last = [], 0.0
    for row in read_rows(metrics):
        if row["seconds"] < last:
            pieces.append(last)
        last = row["seconds"]
    return [*pieces, last]


_HEAD = """\
---
license: apache-2.0
library_name: transformers
pipeline_tag: image-text-to-text
---

# tiny: the built-in model of observe-r1

A true Qwen2.5-VL (`Qwen2_5_VLForConditionalGeneration`: M-RoPE, windowed vision attention, packed
patches) of {parameters} M parameters with a tokenizer of its own, trained from nothing on
procedural puzzles. It is there so that reinforcement learning of a vision-language model can be
seen, tested and compared on a laptop. It knows nothing else.

**Data.** Puzzles of the families {families}, five levels each in equal parts, from stream {seed};
one item in eight is held out by a hash of its content. Three modes, chosen by the system prompt,
are trained equally: observe-think-answer, think-answer, answer only. The traces are a mixture, as
in real pretraining: {careful:.0%} careful, the others look at a part of the picture and answer
from that; {loose:.0%} have a loose format. That is what leaves room for reinforcement learning.

**Training.** {steps} steps of {batch} examples in {minutes} minutes on two shared CPU cores, Muon
and AdamW, float32 products: `python scripts/tiny/train.py --out build/tiny --export
src/observe_r1/assets/tiny`. Weights are stored in bfloat16.

**Pictures** are 112 x 112 for the mix (at most 224 x 224): one merged visual token sees one
28-pixel cell.

## Accuracy on {held} held-out puzzles
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument(
        "--training", type=Path, required=True, help="metrics.jsonl of the training"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    engine = SharedPrefillEngine(load_policy(str(arguments.model), PolicyConfig(dtype="float32")))
    probed = write_probe(engine, arguments.model.parent / "puzzles.json")
    write_atomic(arguments.model / "README.md", card(engine, probed, arguments.training))


if __name__ == "__main__":
    main()
