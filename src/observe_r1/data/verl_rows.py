"""Samples as verl reads them: one parquet file in the schema of its multi-modal examples.

    {"data_source": "puzzles", "prompt": [{"role": "system", "content": "…"},
                                          {"role": "user", "content": "<image>How many?"}],
     "images": [{"bytes": b"…"}], "ability": "counting",
     "reward_model": {"style": "rule", "ground_truth": "3"},
     "extra_info": {"index": 0, "id": "puzzles-counting-7", "kind": "number", "options": [],
                    "level": 3, "rung": 2, "solve_rate": 0.625}}

verl puts the pictures where the ``<image>`` markers stand, so every picture gets one.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe_r1.data.columns import IMAGE_MARKER
from observe_r1.text import format_question
from observe_r1.types import Sample

if TYPE_CHECKING:
    import pyarrow as pa

_GROUP_ROWS = 256


def write_verl(path: Path, samples: Iterable[Sample], *, system_prompt: str = "") -> int:
    """Write samples in their order; returns how many. Train with ``data.shuffle=False`` to keep it.

    Example:
        write_verl(Path("train.parquet"), read_samples("data/ladder"),
                   system_prompt=system_prompt("observe_think_answer"))
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    rows: list[dict[str, Any]] = []
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for count, sample in enumerate(samples, start=1):
            rows.append(verl_row(sample, count - 1, system_prompt))
            if len(rows) == _GROUP_ROWS:
                file.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows = []
        file.write_table(pa.Table.from_pylist(rows, schema=schema))
    return count


def verl_row(sample: Sample, index: int, system_prompt: str) -> dict[str, Any]:
    question = format_question(sample)
    if IMAGE_MARKER not in question:
        question = IMAGE_MARKER * len(sample.images) + question
    prompt = [{"role": "user", "content": question}]
    if system_prompt:
        prompt.insert(0, {"role": "system", "content": system_prompt})
    return {
        "data_source": sample.source,
        "prompt": prompt,
        "images": [{"bytes": image} for image in sample.images],
        "ability": sample.family or "",
        "reward_model": {"style": "rule", "ground_truth": sample.answer},
        "extra_info": {
            "index": index,
            "id": sample.id,
            "kind": sample.kind,
            "options": list(sample.options),
            "level": sample.level,
            "rung": sample.rung,
            "solve_rate": sample.solve_rate,
        },
    }


def _schema() -> "pa.Schema":
    import pyarrow as pa

    text = pa.string()
    message = pa.struct([("role", text), ("content", text)])
    extra = pa.struct(
        [
            ("index", pa.int64()),
            ("id", text),
            ("kind", text),
            ("options", pa.list_(text)),
            ("level", pa.int32()),
            ("rung", pa.int32()),
            ("solve_rate", pa.float64()),
        ]
    )
    return pa.schema(
        [
            ("data_source", text),
            ("prompt", pa.list_(message)),
            ("images", pa.list_(pa.struct([("bytes", pa.binary())]))),
            ("ability", text),
            ("reward_model", pa.struct([("style", text), ("ground_truth", text)])),
            ("extra_info", extra),
        ]
    )
