"""A whole experiment at the smallest size: arms, seeds, shared stages, verdicts; stopped and gone on."""

import json

import pytest

from observe_r1.config.run import Budget
from observe_r1.errors import RunError
from observe_r1.experiments.bases import make_base
from observe_r1.experiments.plan import Experiment, load_experiment
from observe_r1.experiments.running import run_experiment, write_results
from observe_r1.experiments.trial import Trial
from observe_r1.records import read_json, write_json

pytestmark = pytest.mark.slow


def small(name: str, arms: tuple[str, ...], sizes: tuple[str, ...]) -> Experiment:
    """An experiment of the package with two arms, two seeds and hardly any steps."""
    found = load_experiment(name)
    chosen = tuple(
        arm.model_copy(update={"seeds": 2, "overrides": (*arm.overrides, *sizes)})
        for arm in found.arms
        if arm.name in arms
    )
    measure = found.measure.model_copy(update={"questions": 4, "samples": 2})
    claims = tuple(claim for claim in found.claims if claim.arms <= {*arms})
    return found.model_copy(
        update={"arms": chosen, "claims": claims, "measure": measure, "base": None,
                "budget": Budget(generated=3000, updated=6000)}
    )  # fmt: skip


TON = (
    "thoughts.questions.count=24", "sft.max_steps=2", "sft.examples_per_step=4", "rl.max_steps=50",
    "rl.prompts_per_step=2", "rl.group_size=4", "rl.sampling.max_new_tokens=48",
)  # fmt: skip


def test_trials_share_stages_keep_the_budget_and_go_on_after_a_stop(tmp_path):
    experiment = small("ton", ("ton", "constant_length"), TON)
    results = run_experiment(experiment, tmp_path)
    assert {arm: sorted(seeds) for arm, seeds in results.items()} == {
        "ton": [0, 1], "constant_length": [0, 1],
    }  # fmt: skip
    for seeds in results.values():
        for numbers in seeds.values():
            spent = numbers["tokens_generated"] >= 3000 or numbers["tokens_updated"] >= 6000
            assert spent and numbers["steps/rl"] < 50, "RL ends when the budget is spent"
    first, second = (Trial(arm, 0).folder(tmp_path) for arm in ("ton", "constant_length"))
    weights = "2-sft/checkpoints/latest/model.safetensors"
    assert (first / weights).samefile(second / weights)

    path = write_results(experiment, results, tmp_path, quick=True)
    written = read_json(path)
    assert {row["claim"] for row in written["claims"]} == {c.claim for c in experiment.claims}
    assert "ton" in path.with_suffix(".md").read_text()

    (second / "result.json").unlink()  # as if it had been stopped before its end
    assert run_experiment(experiment, tmp_path) == results

    config = read_json(first / "config.json")  # as if the recipe had been changed since
    config["stages"][-1]["optimizer"]["lr"] = 0.5
    write_json(first / "config.json", config)
    with pytest.raises(
        RunError, match=r"another recipe than 'ton' is now.*rl\.optimizer\.lr = 0\.5"
    ):
        run_experiment(experiment, tmp_path)


def test_a_base_is_made_once(tmp_path):
    sizes = ("traces.questions.count=16", "sft.max_steps=1", "sft.examples_per_step=4")
    base = make_base("decayed", "tiny", tmp_path, sizes)
    made = (base.folder / "cost.json").stat().st_mtime_ns
    again = make_base("decayed", "tiny", tmp_path, sizes)
    assert again == base and base.costs.updated > 0
    assert (base.folder / "cost.json").stat().st_mtime_ns == made
    assert json.loads((base.folder / "config.json").read_text())["recipe"] == "decayed"
