"""``data build`` with a real, if random, model on a CPU: import, probe and ladder in one command."""

import json

import pytest

from fakes import byte_processor, tiny_model
from observe_r1.cli.main import call
from observe_r1.data.store import read_samples
from observe_r1.probe import read_probe


@pytest.mark.slow
def test_build_makes_a_ladder_of_puzzles_and_goes_on_where_it_stopped(tmp_path, capsys):
    model, out = tmp_path / "model", tmp_path / "ladder"
    tiny_model().save_pretrained(model)
    byte_processor().save_pretrained(model)
    arguments = ["data", "build", "counting,dice", "--as", "puzzles", "--model", str(model), "--out",
                 str(out), "--limit", "6", "--rollouts", "2", "--max-tokens", "6", "--unsolved",
                 "keep", "--json"]  # fmt: skip
    assert call(arguments) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["samples"] == len(read_samples(out)) == 6
    rows = list(read_probe(out / "samples" / "probe"))
    assert len(rows) == 12
    assert call(arguments) == 0
    assert len(list(read_probe(out / "samples" / "probe"))) == 12
    assert call(["data", "review", str(out / "samples")]) == 0
