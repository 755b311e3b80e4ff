"""Writes run folders that look like real ones, of any size, without training anything.

The tests, the benchmark of the report and anyone who works on the pages use it:

    python benchmarks/synthetic_run.py runs/example --steps 200

A small pool of drawn questions is asked again and again; the make-believe policy gets better,
shorter and better formed with every step, and climbs the rungs of a ladder.
"""

import argparse
import io
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {"red": "#d1495b", "blue": "#2e86ab", "green": "#5b8e55", "yellow": "#e2b23c"}
SHAPES = ("square", "circle", "triangle")
FAMILIES = ("counting", "comparison", "arithmetic", "spatial")
NUM_RUNGS = 9
FILLER = (
    "The picture shows several shapes spread over a plain tray, and each of them has to be looked "
    "at once before anything can be said about how many there are of one kind. "
)


@dataclass(frozen=True)
class Size:
    """How large the run is."""

    steps: int = 60
    prompts: int = 8
    group_size: int = 8
    questions: int = 96
    extra_characters: int = 0
    """Added to each text, for runs whose volume matters."""
    planned_steps: int | None = None
    """What config.json promises; more than ``steps`` makes an unfinished run."""
    seed: int = 0


@dataclass(frozen=True)
class Question:
    id: str
    family: str
    colour: str
    shape: str
    count: int
    other: int
    rung: int
    image: bytes

    @property
    def text(self) -> str:
        noun = f"{self.colour} {self.shape}s"
        if self.family == "comparison":
            return f"<image>Are there more {noun} than other shapes in the picture?"
        if self.family == "arithmetic":
            return f"<image>Count the {noun}, then add the number of all other shapes. The sum?"
        if self.family == "spatial":
            return f"<image>How many {noun} lie in the left half, if each half holds equally many?"
        return f"<image>How many {noun} are there in the picture?"

    @property
    def answer(self) -> str:
        if self.family == "comparison":
            return "A" if self.count > self.other else "B"
        if self.family == "arithmetic":
            return str(self.count + self.other)
        return str(self.count)

    @property
    def options(self) -> list[str]:
        return ["yes", "no"] if self.family == "comparison" else []


def write_run(folder: Path, size: Size | None = None) -> Path:
    """A complete run folder, evaluations before and after included."""
    size = size or Size()
    questions_rng, rng = random.Random("questions"), random.Random(size.seed)
    questions = [_question(questions_rng, number) for number in range(size.questions)]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", _config(size))
    _write_json(folder / "env.json", _environment())
    with open(folder / "samples.jsonl", "w", encoding="ascii") as file:
        for question in questions:
            name = f"images/{question.id}.png"
            (folder / name).write_bytes(question.image)
            file.write(json.dumps(_sample_row(question, name)) + "\n")
    with (
        open(folder / "rollouts.jsonl", "w", encoding="ascii") as rollouts,
        open(folder / "metrics.jsonl", "w", encoding="ascii") as metrics,
    ):
        for step in range(1, size.steps + 1):
            rows = list(_step_rows(rng, questions, step, size))
            rollouts.write("".join(_line(row) for row in rows))
            metrics.write(_line(_metrics(rng, rows, step, size)))
    for name, skill in (("before", 0.15), ("after", 0.75)):
        _write_evaluation(rng, folder / "eval" / name, questions, skill)
    return folder


def _question(rng: random.Random, number: int) -> Question:
    rung = number % NUM_RUNGS
    colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
    count, other = rng.randint(1, 2 + rung), rng.randint(1, 3 + rung)
    picture = _draw(rng, colour, shape, count, other)
    family = FAMILIES[(number // NUM_RUNGS) % len(FAMILIES)]
    return Question(f"shapes-{number:04d}", family, colour, shape, count, other, rung, picture)


def _draw(rng: random.Random, colour: str, shape: str, count: int, other: int) -> bytes:
    image = Image.new("RGB", (280, 196), "#faf8f3")
    pen = ImageDraw.Draw(image)
    cells = rng.sample([(x, y) for x in range(7) for y in range(5)], min(count + other, 35))
    rest = [(c, s) for c in COLOURS for s in SHAPES if (c, s) != (colour, shape)]
    for place, (column, row) in enumerate(cells):
        kind = (colour, shape) if place < count else rng.choice(rest)
        x, y = 8 + column * 39, 6 + row * 38
        box = (x, y, x + 28, y + 28)
        if kind[1] == "circle":
            pen.ellipse(box, fill=COLOURS[kind[0]])
        elif kind[1] == "square":
            pen.rectangle(box, fill=COLOURS[kind[0]])
        else:
            pen.polygon([(x, y + 28), (x + 14, y), (x + 28, y + 28)], fill=COLOURS[kind[0]])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _sample_row(question: Question, image: str) -> dict:
    return {
        "sample_id": question.id,
        "question": question.text,
        "answer": question.answer,
        "kind": "choice" if question.options else "number",
        "options": question.options,
        "images": [image],
        "family": question.family,
        "level": question.rung,
        "rung": question.rung,
    }


def _step_rows(
    rng: random.Random, questions: list[Question], step: int, size: Size
) -> Iterator[dict]:
    progress = step / max(size.planned_steps or size.steps, 1)
    centre = progress * (NUM_RUNGS - 1)
    near = [q for q in questions if abs(q.rung - centre) <= 2.1]
    for group in range(size.prompts):
        question = rng.choice(near)
        skill = 0.25 + 0.65 * progress - 0.07 * question.rung + 0.1 * rng.random()
        answers = [_answer(rng, question, skill, progress, size) for _ in range(size.group_size)]
        yield from _group_rows(question, step, group, answers)


def _answer(
    rng: random.Random, question: Question, skill: float, progress: float, size: Size
) -> dict:
    correct = rng.random() < min(max(skill, 0.02), 0.97)
    well_formed = rng.random() < 0.6 + 0.39 * progress
    truncated = not correct and rng.random() < 0.12 * (1 - progress)
    text = _text(rng, question, correct, well_formed, truncated)
    text += FILLER * (size.extra_characters // len(FILLER) + 1) if size.extra_characters else ""
    return {"text": text, "correct": correct, "well_formed": well_formed, "truncated": truncated}


def _text(
    rng: random.Random, question: Question, correct: bool, well_formed: bool, truncated: bool
) -> str:
    seen = question.count if correct else max(question.count + rng.choice([-1, 1, 2]), 0)
    said = question.answer if correct else str(seen + (question.family == "arithmetic") * 2)
    if not correct and question.family == "comparison":
        said = "A" if question.answer == "B" else "B"
    observe = f"{seen} {question.colour} {question.shape}s, {question.other} other shapes; "
    observe += "row by row: " + ", ".join(str(rng.randint(0, 4)) for _ in range(5))
    think = f"The question asks about {question.colour} {question.shape}s. I count {seen}."
    think += " Let me check again." * rng.randint(0, 4) + f" So the answer is {said}."
    if truncated:
        return f"<observe>{observe}</observe>\n<think>{think}" + " Let me check again." * 12
    if not well_formed:
        return f"<think>{think}</think> answer: {said}"
    return f"<observe>{observe}</observe>\n<think>{think}</think>\n<answer>{said}</answer>"


def _group_rows(question: Question, step: int, group: int, answers: list[dict]) -> Iterator[dict]:
    tokens = [len(answer["text"]) // 4 for answer in answers]
    shortest = min(
        (n for n, a in zip(tokens, answers, strict=True) if a["correct"] and a["well_formed"]),
        default=None,
    )
    rewards = []
    for n, answer in zip(tokens, answers, strict=True):
        won = shortest is not None and n == shortest and answer["correct"] and answer["well_formed"]
        rewards.append((float(answer["correct"]), 0.5 * answer["well_formed"], 0.2 * won))
    totals = [sum(parts) for parts in rewards]
    mean = sum(totals) / len(totals)
    std = math.sqrt(sum((t - mean) ** 2 for t in totals) / max(len(totals) - 1, 1))
    solve_rate = sum(a["correct"] for a in answers) / len(answers)
    weight = 4 * 1.8 * solve_rate * (1 - solve_rate)
    for index, answer in enumerate(answers):
        yield {
            "step": step,
            "sample_id": question.id,
            "group": group,
            "index": index,
            "text": answer["text"],
            "num_tokens": tokens[index],
            "truncated": answer["truncated"],
            "correct": answer["correct"],
            "rewards": {"accuracy": rewards[index][0], "format": rewards[index][1]},
            "reward": totals[index],
            "bonus": rewards[index][2],
            "solve_rate": solve_rate,
            "weight": weight,
            "advantage": (totals[index] - mean) / (std + 1e-9) * weight,
            "admitted": True,
        }


def _metrics(rng: random.Random, rows: list[dict], step: int, size: Size) -> dict:
    def mean(values: list) -> float | None:
        return sum(values) / len(values) if values else None

    progress = step / max(size.planned_steps or size.steps, 1)
    tokens = sum(row["num_tokens"] for row in rows)
    prompt_tokens = 150 * size.prompts
    rates = [row["solve_rate"] for row in rows if row["index"] == 0]
    means = {
        "accuracy": mean([row["correct"] for row in rows]),
        "format": mean([row["rewards"]["format"] * 2 for row in rows]),
        "reward": mean([row["reward"] for row in rows]),
        "bonus": mean([row["bonus"] for row in rows]),
        "rewards/accuracy": mean([row["rewards"]["accuracy"] for row in rows]),
        "rewards/format": mean([row["rewards"]["format"] for row in rows]),
        "solve_rate/none": mean([rate == 0 for rate in rates]),
        "solve_rate/some": mean([0 < rate < 1 for rate in rates]),
        "solve_rate/all": mean([rate == 1 for rate in rates]),
        "groups/zero_weight": mean([rate in (0, 1) for rate in rates]),
        "weight": mean([row["weight"] for row in rows]),
        "length": tokens / len(rows),
        "length_correct": mean([row["num_tokens"] for row in rows if row["correct"]]),
        "length_wrong": mean([row["num_tokens"] for row in rows if not row["correct"]]),
        "truncated": mean([row["truncated"] for row in rows]),
    }
    histogram = {
        f"solve_rate/histogram/{eighth}": sum(round(rate * 8) == eighth for rate in rates)
        for eighth in range(9)
    }
    return {
        "step": step,
        **{name: value for name, value in means.items() if value is not None},
        **histogram,
        "groups/drawn": len(rates),
        "groups/admitted": len(rates),
        "entropy": 1.1 - 0.7 * progress + rng.gauss(0, 0.03),
        "clip_low": abs(rng.gauss(0.01, 0.005)),
        "clip_high": abs(rng.gauss(0.008, 0.004)),
        "mismatch/logprob": abs(rng.gauss(0.004, 0.001)),
        "mismatch/kl": abs(rng.gauss(0.0004, 0.0001)),
        "loss": rng.gauss(0, 0.01),
        "grad_norm": abs(rng.gauss(0.6, 0.15)),
        "lr": 1e-5 * (0.5 + 0.5 * math.cos(math.pi * progress)),
        "curriculum/rung": round(progress * (NUM_RUNGS - 1)),
        "curriculum/samples_seen": step * size.prompts,
        "tokens/generated": tokens,
        "tokens/computed": prompt_tokens + tokens,
        "tokens/unique": prompt_tokens + tokens,
        "timing/step": 2.5 + rng.random() * 0.4,
        "timing/generate": 1.6 + rng.random() * 0.3,
        "timing/score": 0.05,
        "timing/optimise": 0.8 + rng.random() * 0.2,
        "memory/process": 1200 + rng.random() * 100,
    }


def _config(size: Size) -> dict:
    return {
        "recipe": "observe_r1",
        "preset": "tiny",
        "hardware": "cpu",
        "model": "tiny",
        "data": "puzzles",
        "deviations": [
            "The tiny preset updates once per rollout instead of sixteen times.",
            "The length floor is the 25th percentile of correct lengths in the probe.",
        ],
        "overrides": [f"rl.max_steps={size.planned_steps or size.steps}"],
        "heldout": {"questions": 0},
        "stages": [
            {
                "type": "rl",
                "name": "rl",
                "seed": size.seed,
                "max_steps": size.planned_steps or size.steps,
                "prompts_per_step": size.prompts,
                "group_size": size.group_size,
                "rewards": [
                    {"type": "accuracy", "weight": 1.0},
                    {"type": "format", "weight": 0.5},
                ],
                "bonus": {"coefficient": 0.2, "floor": 12},
                "weight": {"type": "uncertainty", "sigma": 1.8},
                "curriculum": {"type": "ladder"},
                "sampling": {"temperature": 1.0, "max_new_tokens": 160},
                "optimizer": {"learning_rate": 1e-5},
            }
        ],
    }


def _environment() -> dict:
    return {
        "observe_r1": "0.1.0",
        "python": "3.11.7",
        "torch": "2.8.0",
        "platform": "Linux x86_64",
        "device": "cpu",
        "threads": 2,
        "started": "2026-01-01T10:00:00+00:00",
    }


def _write_evaluation(
    rng: random.Random, folder: Path, questions: list[Question], skill: float
) -> None:
    folder.mkdir(parents=True)
    rows = []
    for question in questions:
        for index in range(4):
            correct = rng.random() < min(max(skill + 0.2 - 0.06 * question.rung, 0.02), 0.98)
            text = _text(rng, question, correct, rng.random() < 0.4 + 0.6 * skill, False)
            rows.append(
                {
                    "sample_id": question.id,
                    "index": index,
                    "text": text,
                    "answer": question.answer if correct else "0",
                    "correct": correct,
                    "correct_lenient": correct or rng.random() < 0.05,
                    "num_tokens": len(text) // 4,
                    "truncated": False,
                }
            )
    (folder / "predictions.jsonl").write_text("".join(_line(row) for row in rows))
    accuracy = sum(row["correct"] for row in rows) / len(rows)
    _write_json(folder / "scores.json", {"name": folder.name, "accuracy": accuracy})


def _line(row: dict) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"


def _write_json(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group-size", type=int, default=8)
    parser.add_argument("--extra-characters", type=int, default=0)
    parser.add_argument("--planned-steps", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    options = vars(parser.parse_args())
    write_run(options.pop("folder"), Size(**options))


if __name__ == "__main__":
    main()
