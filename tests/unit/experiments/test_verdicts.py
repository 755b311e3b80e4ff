import json
from dataclasses import replace

import pytest

from observe_r1.errors import ConfigError, RunError
from observe_r1.eval.observation import observation_quality, split_facts
from observe_r1.experiments.bases import base_names, load_base_recipe
from observe_r1.experiments.plan import Experiment, experiment_names, load_experiment
from observe_r1.experiments.readouts import curve_area
from observe_r1.experiments.running import claim_folder, trials_of
from observe_r1.experiments.trial import TRIAL_STREAM, Trial, resolve_trial
from observe_r1.experiments.verdicts import judge, to_json, to_page
from observe_r1.recipes.machine import Machine
from observe_r1.recipes.resolve import Choice, resolve
from observe_r1.types import Sample


def experiment(**claim) -> Experiment:
    values = {
        "name": "x", "title": "X", "recipe": "grpo",
        "arms": [{"name": "a", "summary": "a"}, {"name": "b", "summary": "b"}],
        "claims": [{"claim": "a beats b", "better": "a", "worse": "b", "metric": "accuracy",
                    "smallest": 0.02, **claim}],
        "quick": {"arms": ["a", "b"]},
    }  # fmt: skip
    return Experiment.model_validate(values)


def results(differences: list[float], metric: str = "accuracy", **others: list[float]):
    a = {seed: {metric: 0.5 + d} for seed, d in enumerate(differences)}
    b = {seed: {metric: 0.5} for seed in range(len(differences))}
    for name, changes in others.items():
        for seed, change in enumerate(changes):
            a[seed][name], b[seed][name] = 0.5 + change, 0.5
    return {"a": a, "b": b}


def verdict_of(found, **claim) -> str:
    (verdict,) = judge(experiment(**claim), found)
    return verdict.verdict


def test_a_clear_effect_holds():
    assert verdict_of(results([0.05, 0.06, 0.04, 0.05, 0.06])) == "holds"


def test_a_clear_absence_does_not_hold():
    assert verdict_of(results([0.001, -0.001, 0.002, -0.002, 0.0])) == "does not"


def test_a_certain_effect_that_is_too_small_does_not_hold():
    assert verdict_of(results([0.010, 0.011, 0.009, 0.010, 0.0105])) == "does not"


def test_noise_is_not_decided():
    assert verdict_of(results([0.1, -0.08, 0.05, -0.02, 0.06])) == "not decided"


def test_the_direction_counts():
    shorter = results([-5.0, -6.0, -5.5], metric="length_correct")
    claim = {"metric": "length_correct", "smallest": 1.0}
    assert verdict_of(shorter, direction="lower", **claim) == "holds"
    assert verdict_of(shorter, **claim) == "does not"


def test_a_guard_can_undo_a_claim():
    claim = {"metric": "length_correct", "direction": "lower", "smallest": 1.0,
             "guard": {"metric": "accuracy", "margin": 0.02}}  # fmt: skip
    shorter = [-5.0, -6.0, -5.5]
    kept = results(shorter, metric="length_correct", accuracy=[0.0, 0.001, -0.001])
    lost = results(shorter, metric="length_correct", accuracy=[-0.1, -0.11, -0.12])
    unsure = results(shorter, metric="length_correct", accuracy=[-0.1, 0.1, 0.0])
    assert verdict_of(kept, **claim) == "holds"
    assert verdict_of(lost, **claim) == "does not"
    assert verdict_of(unsure, **claim) == "not decided"
    same = results([0.1, -0.1, 0.0], metric="length_correct", accuracy=[-0.1, 0.1, 0.0])
    assert verdict_of(same, **claim) == "does not"  # too small whatever became of accuracy


def test_only_seeds_that_both_arms_have_are_paired():
    found = results([0.05, 0.06, 0.04])
    found["a"][7] = {"accuracy": 0.0}
    (verdict,) = judge(experiment(), found)
    assert verdict.effect is not None
    assert verdict.effect.seeds == 3


def test_a_metric_that_was_not_measured_decides_nothing():
    (verdict,) = judge(experiment(metric="nothing"), results([0.1, 0.1]))
    assert (verdict.verdict, verdict.effect) == ("not decided", None)


def test_the_result_is_json_and_a_page():
    found = results([0.05, 0.06, 0.04])
    result = json.loads(json.dumps(to_json(experiment(), found, quick=True)))
    (claim,) = result["claims"]
    assert {"claim", "effect", "low", "high", "seeds", "verdict"} <= claim.keys()
    assert "**holds**" in to_page(result)
    assert "Quick form" in to_page(result)


@pytest.mark.parametrize("name", experiment_names())
def test_every_arm_of_every_experiment_resolves(name):
    found = load_experiment(name)
    for form in (found, found.shortened()):
        for arm in form.arms:
            run = resolve_trial(form, arm, 3, model="tiny", data="puzzles")
            assert run.budget == form.budget
            assert {stage.seed for stage in run.stages} == {3}
            drawn = [getattr(stage, "questions", None) for stage in run.stages]
            streams = {q.stream for q in drawn if q is not None and q.stream is not None}
            assert all(TRIAL_STREAM + 300 <= stream < TRIAL_STREAM + 400 for stream in streams)


@pytest.mark.parametrize("name", base_names())
def test_every_base_resolves_and_is_small(name):
    run = resolve(load_base_recipe(name), Choice(model="tiny", data="puzzles"), Machine())
    assert run.recipe == name
    assert run.stages[-1].type == "sft"


@pytest.mark.parametrize("name", experiment_names())
def test_the_base_of_an_experiment_is_there(name):
    base = load_experiment(name).base
    assert base is None or base in base_names()


def test_the_claims_of_observe_r1_are_tested_with_ten_seeds_where_they_are_main_claims():
    found = load_experiment("observe_r1")
    assert {arm.name for arm in found.arms if arm.seeds == 10} == {"full", "grpo", "shuffled"}
    assert len(found.arms) == 16
    assert len(trials_of(found)) == 3 * 10 + 13 * 5


def test_the_quick_form_tests_what_its_arms_allow():
    quick = load_experiment("observe_r1").shortened()
    assert {arm.name for arm in quick.arms} == {"grpo", "shuffled", "full"}
    assert {claim.better for claim in quick.claims} == {"full"}
    assert len(trials_of(quick)) == 6


def test_an_unknown_experiment():
    with pytest.raises(
        ConfigError, match=r"there is no experiment 'observe_r2'\. Did you mean observe_r1"
    ):
        load_experiment("observe_r2")


def test_a_curve_by_hand():
    assert curve_area([(0, 0.2), (10, 0.4), (20, 0.4)]) == pytest.approx(0.35)
    assert curve_area([(5, 0.3)]) == 0.3


def puzzle(facts):
    known = {"source": "puzzles", "metadata": {"facts": facts}}
    return Sample(id="q", question="?", answer="1", kind="number", **known)


def test_a_column_of_that_name_in_other_data_is_no_fact():
    own = replace(puzzle(["a"]), source="table")
    text = "<observe>a</observe><think>t</think><answer>1</answer>"
    assert observation_quality([own], [{"sample_id": "q", "text": text}]) is None


def test_observed_facts_by_hand():
    facts = ["1: red - -", "2: - blue -"]
    sample = puzzle(facts)
    text = "<observe>1: red - -; 2: - green -; 3: x</observe><think>t</think><answer>1</answer>"
    quality = observation_quality([sample], [{"sample_id": "q", "text": text}])
    assert quality is not None
    assert quality.precision == pytest.approx(1 / 3)
    assert quality.recall == pytest.approx(1 / 2)


def test_a_fact_said_twice_counts_once():
    assert split_facts("a; a\nb.") == {"a": 2, "b": 1}
    sample = puzzle(["a"])
    rows = [{"sample_id": "q", "text": "<observe>a; a</observe><think>t</think><answer>1</answer>"}]
    quality = observation_quality([sample], rows)
    assert quality is not None
    assert quality.precision == pytest.approx(1 / 2)


def test_without_an_observe_section_there_is_nothing_to_score():
    sample = puzzle(["a"])
    assert observation_quality([sample], [{"sample_id": "q", "text": "<answer>1</answer>"}]) is None


def test_trials_side_by_side_have_different_seeds():
    found = load_experiment("ton")
    first = trials_of(found, 2)[:4]
    assert first == [Trial("ton", 0), Trial("ton", 1), Trial("grpo", 0), Trial("grpo", 1)]
    assert set(trials_of(found, 2)) == set(trials_of(found)) == set(trials_of(found, 3))
    assert len(trials_of(found, 2)) == 30


def test_trials_of_another_version_are_not_mixed(tmp_path):
    found = load_experiment("ton")
    claim_folder(found, tmp_path)
    claim_folder(found, tmp_path)
    with pytest.raises(RunError, match=r"holds trials of another version of 'ton'"):
        claim_folder(found.model_copy(update={"overrides": ()}), tmp_path)
