import math

import pytest

from observe_r1.config.run import Budget
from observe_r1.errors import ConfigError
from observe_r1.records import append_rows
from observe_r1.train.purse import Purse, fill_purse


def write(folder, *rows):
    folder.mkdir()
    append_rows(folder / "metrics.jsonl", rows)
    return folder


def test_a_purse_is_empty_when_either_kind_is_spent():
    purse = Purse(generated=100.0, updated=50.0)
    purse.spend({"tokens/generated": 60.0, "tokens/computed": 20.0, "loss": 1.0})
    assert (purse.generated, purse.updated, purse.is_empty) == (40.0, 30.0, False)
    purse.spend({"tokens/computed": 30.0})
    assert purse.is_empty


def test_without_a_budget_nothing_ends():
    purse = Purse()
    purse.spend({"tokens/generated": 1e12})
    assert not purse.is_empty


def test_earlier_stages_are_paid_first(tmp_path):
    cold = write(tmp_path / "1-cold", {"tokens/computed": 30.0}, {"tokens/computed": 20.0})
    explore = write(tmp_path / "2-explore", {"tokens/generated": 70.0})
    purse = fill_purse(Budget(generated=100, updated=120), {"cold": cold, "explore": explore}, "rl")
    assert (purse.generated, purse.updated) == (30.0, 70.0)
    assert fill_purse(Budget(), {"cold": cold}, "rl").updated == math.inf


def test_what_is_on_disk_is_spent_on_resume(tmp_path):
    half = write(tmp_path / "3-rl", {"tokens/generated": 40.0, "tokens/computed": 10.0})
    purse = Purse(generated=50.0)
    purse.spend_rows(half)
    assert purse.generated == 10.0
    purse.spend_rows(tmp_path / "not-begun")
    assert purse.generated == 10.0


def test_a_budget_that_is_gone_before_a_stage_begins_is_named(tmp_path):
    cold = write(tmp_path / "1-cold", {"tokens/computed": 30.0})
    with pytest.raises(
        ConfigError, match=r"tokens updated on is spent before stage 'rl' begins: cold"
    ):
        fill_purse(Budget(updated=30), {"cold": cold}, "rl")
