"""Runs to look at: a small good one, and a hostile one."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

from synthetic_run import Size, write_run


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 steps of 4 groups of 6; never changed by a test."""
    folder = tmp_path_factory.mktemp("runs") / "good"
    return write_run(folder, Size(steps=24, prompts=4, group_size=6, questions=36))


@pytest.fixture
def own_run(tmp_path: Path) -> Path:
    """A run that the test may change."""
    return write_run(tmp_path / "own", Size(steps=10, prompts=3, group_size=4, questions=18))


ATTACKS = (
    "<script>window.pwned = 1</script>",
    "</script><script>window.pwned = 2</script>",
    "<img src=x onerror='window.pwned = 3'>",
    "<svg onload='window.pwned = 4'><script>window.pwned = 5</script></svg>",
    "<!-- <script> --><style>* { display: none }</style>",
    "{{ 7 * 7 }} {% raw %} ${window.pwned = 6} `",
    "javascript:window.pwned=7 [x](javascript:window.pwned=8)",
    "\u2028\u2029\u202etxet desrever\u202c \x1b]0;owned\x07\x1b[2J \x00",
    "\ud800 lone \udfff surrogates",
    "<answer><answer></think></answer>" * 40,
)


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every field that a model, a data set or a file name can fill, filled with an attack."""
    folder = tmp_path_factory.mktemp("hostile") / "<img src=x onerror=alert(1)>&amp;"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "drawing.svg").write_text("<svg onload='alert(1)'/>")
    (folder / "images" / "no-picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 50)
    (folder.parent / "secret.png").write_bytes(_one_pixel())
    (folder / "images" / "link.png").symlink_to(folder.parent / "secret.png")
    config = {
        "recipe": "<script>1</script>",
        "deviations": list(ATTACKS),
        "stages": [{"type": "rl", "name": ATTACKS[0]}],
    }
    (folder / "config.json").write_text(json.dumps({"format": 99, **config}))
    (folder / "env.json").write_text(json.dumps({attack: attack for attack in ATTACKS}))
    _write_rows(
        folder / "samples.jsonl", [_sample(number, attack) for number, attack in enumerate(ATTACKS)]
    )
    _write_rows(folder / "rollouts.jsonl", [row for step in range(3) for row in _rollouts(step)])
    with open(folder / "rollouts.jsonl", "ab") as file:
        file.write(b'{"step": 3, "text": "broken \xff\xfe utf-8", "sample_id": "s0", "group": 0}\n')
        file.write(
            b"not json at all\n[1, 2, 3]\n" + b"[" * 100_000 + b'\n{"step": 4, "text": "torn'
        )
    _write_rows(folder / "metrics.jsonl", _metrics())
    evaluation = folder / "eval" / "<b>before</b>"
    evaluation.mkdir(parents=True)
    _write_rows(
        evaluation / "predictions.jsonl",
        [{"sample_id": f"s{n}", "text": a, "correct": n % 2 == 0} for n, a in enumerate(ATTACKS)],
    )
    (evaluation / "scores.json").write_text(
        '{"accuracy": NaN, "per_level": {"<i>": "x"}, "pass_at_k": 3}'
    )
    return folder


def _sample(number: int, attack: str) -> dict:
    images = [
        "images/drawing.svg",
        "images/no-picture.png",
        "images/link.png",
        "../secret.png",
        "/etc/hostname",
        "a\0b",
        "x" * 5000,
    ]
    return {
        "sample_id": f"s{number}",
        "question": attack,
        "answer": attack,
        "kind": attack,
        "options": [attack, 3, None],
        "images": images,
        "family": attack,
        "level": -3,
        "rung": number,
    }


def _rollouts(step: int) -> list[dict]:
    rows = []
    for number, attack in enumerate(ATTACKS):
        for index, value in enumerate((-1.5, float("nan"), float("inf"), 10**400)):
            text = (
                attack * (1_000_000 // len(attack))
                if step == 0 and number == 0 and index == 0
                else attack
            )
            rows.append({
                "step": step, "sample_id": f"s{number}", "group": number, "index": index, "text": text,
                "num_tokens": -5, "truncated": "yes", "correct": index == 0, "rewards": {attack: value, "b": "x"},
                "reward": value, "bonus": value, "solve_rate": value, "weight": value, "advantage": value, "admitted": None,
            })  # fmt: skip
    return rows


def _metrics() -> list[dict]:
    rows = [
        {
            "step": step,
            "accuracy": float("nan"),
            "loss": float("inf"),
            ATTACKS[0]: step,
            "a": {"b": {"c": -step}},
            "rewards/<b>x</b>": -1e300,
        }
        for step in range(1, 12)
    ]
    return [
        *rows,
        {"step": "many"},
        {"step": 10**30},
        {"step": -4},
        {"step": 12, "length": "long", "list": [1, "x", float("nan")]},
    ]


def _write_rows(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")


def _one_pixel() -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (2, 2), "red").save(buffer, format="PNG")
    return buffer.getvalue()
