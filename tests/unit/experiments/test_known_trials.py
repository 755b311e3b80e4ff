"""Trials that another machine has run are taken from its result, and only from the same version's."""

import pytest
from test_experiment_page import experiment, result

from observe_r1.errors import DataError, RunError
from observe_r1.experiments.known import take_known
from observe_r1.experiments.running import collect, run_experiment, write_results
from observe_r1.experiments.trial import Trial
from observe_r1.records import read_json, write_json


@pytest.fixture
def known(tmp_path):
    """A result as one machine has written it: two arms with three of five seeds."""
    path = tmp_path / "small.json"
    write_json(path, result())
    return path


def test_what_is_known_counts_as_done_and_is_written_again_as_it_was(known, tmp_path):
    out = tmp_path / "out"
    assert take_known(experiment(), known, out) == 6
    assert take_known(experiment(), known, out) == 0, "once"
    found = run_experiment(experiment(), out, seeds=range(3))  # would train if one were missing
    carried = read_json(known)
    again = read_json(
        write_results(experiment(), found, tmp_path / "again", quick=False, trials=out)
    )
    for part in ("trials", "claims", "curves", "missing", "plan"):
        assert again[part] == carried[part], part
    assert again["missing"] == 4
    assert "6 of 10 trials" in (tmp_path / "again" / "small.md").read_text()


def test_what_is_there_already_stays(known, tmp_path):
    own = Trial("a", 1).folder(tmp_path) / "result.json"
    own.parent.mkdir(parents=True)
    write_json(own, {"accuracy": 0.9})
    assert take_known(experiment(), known, tmp_path) == 5
    assert collect(experiment(), tmp_path)["a"][1] == {"accuracy": 0.9}


def test_another_version_and_other_files_are_refused(known, tmp_path):
    other = experiment().model_copy(update={"probed": 7})
    with pytest.raises(RunError, match="another version of 'small'"):
        take_known(other, known, tmp_path)
    known.write_text("{}")
    with pytest.raises(DataError, match="no result of an experiment"):
        take_known(experiment(), known, tmp_path)
    with pytest.raises(RunError, match="does not exist"):
        take_known(experiment(), tmp_path / "nothing.json", tmp_path)
