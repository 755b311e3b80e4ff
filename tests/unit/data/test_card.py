import io

import numpy as np
from PIL import Image

from observe_r1.data.card import write_card
from observe_r1.data.ladder import LadderConfig, build_ladder
from observe_r1.data.ladder_folder import realised_mix, write_ladder
from observe_r1.data.plots import bar_chart, stacked_chart
from observe_r1.data.store import read_samples, write_samples
from observe_r1.data.verl_rows import write_verl
from observe_r1.records import read_json, read_rows
from observe_r1.types import Sample


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format="PNG")
    return buffer.getvalue()


def graded(num: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 9, num)
    return [
        Sample(
            id=f"s{i}", question="How | many?", answer="1", kind="number", images=(picture(),),
            source="test", family=("a", "b")[i % 2], level=int(levels[i]),
            solve_rate=1 - levels[i] / 8, complexity=float(rng.integers(20, 90)),
        )
        for i in range(num)
    ]  # fmt: skip


def build(folder, samples, **settings):
    config = LadderConfig(**settings)
    ladder = build_ladder(samples, config=config, seed=1)
    write_ladder(folder, samples, ladder, config, seed=1, source="here", probe={"model": "m"})
    return ladder


def test_a_ladder_folder_holds_what_the_contract_says(tmp_path):
    samples = graded(300)
    ladder = build(tmp_path, samples, size=150)
    stored = read_samples(tmp_path)
    assert [s.id for s in stored] == [samples[i].id for i in ladder.order]
    assert [s.position for s in stored] == list(range(150))
    history = read_json(tmp_path / "ladder.json")
    assert sum(history["outcomes"].values()) == history["num_samples"] == 300
    assert np.array(history["samples_by_rung_and_level"]).sum() == 150
    left_out = list(read_rows(tmp_path / "rejected.jsonl"))
    assert len(left_out) == 150
    assert {row["held"] for row in left_out} == {True, False}
    assert np.allclose(realised_mix(ladder).sum(axis=1)[:8], 1.0)


def test_the_card_shows_plots_tables_and_how_to_load_it(tmp_path):
    build(tmp_path, graded(300), unsolved="keep")
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nconfigs:")
    assert "path: data/train-*.parquet" in card
    for name in ("levels", "complexity", "rungs"):
        assert f"(plots/{name}.png)" in card
        with Image.open(tmp_path / "plots" / f"{name}.png") as image:
            assert image.size == (760, 340)
    assert "| held for review: never solved | 0 |" in card


def test_the_card_of_an_import_has_no_difficulty_yet(tmp_path):
    write_samples(tmp_path, [Sample(id="a", question="?", answer="1", kind="number")])
    write_card(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "## Difficulty" not in card and "| (none) | 1 |" in card


def test_charts_draw_empty_and_large_values():
    for values in ([0.0] * 9, [None] * 9, [1e6, *[0.5] * 8]):
        chart = bar_chart([str(i) for i in range(9)], values, title="t", x_title="x")
        assert chart.startswith(b"\x89PNG")
    assert stacked_chart([], [], title="t", x_title="x").startswith(b"\x89PNG")


def test_samples_are_written_as_verl_reads_them(tmp_path):
    import pyarrow.parquet as pq

    path = tmp_path / "verl" / "train.parquet"
    assert write_verl(path, graded(300), system_prompt="Observe.") == 300
    row = pq.read_table(path).to_pylist()[0]
    assert row["prompt"] == [
        {"role": "system", "content": "Observe."},
        {"role": "user", "content": "<image>How | many?"},
    ]
    assert row["images"] == [{"bytes": picture()}]
    assert row["reward_model"] == {"style": "rule", "ground_truth": "1"}
    assert row["extra_info"]["index"] == 0 and row["extra_info"]["kind"] == "number"
