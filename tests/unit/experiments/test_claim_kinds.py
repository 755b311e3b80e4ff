import pytest

from observe_r1.errors import ConfigError
from observe_r1.experiments.plan import Claim, Experiment
from observe_r1.experiments.statistics import equality_p, paired_effect
from observe_r1.experiments.verdicts import claim_changes, judge, to_page


def experiment(**claim) -> Experiment:
    values = {
        "name": "x", "title": "X", "recipe": "grpo",
        "arms": [{"name": name, "summary": name} for name in ("a", "b", "c")],
        "claims": [{"claim": "as claimed", "better": "a", "metric": "m", **claim}],
        "quick": {"arms": ["a", "b"]},
    }  # fmt: skip
    return Experiment.model_validate(values)


def results(**arms: list[float]):
    return {arm: {seed: {"m": v} for seed, v in enumerate(values)} for arm, values in arms.items()}


def verdict(found, **claim) -> str:
    return judge(experiment(**claim), found)[0].verdict


def test_a_relative_difference_is_a_share_of_the_worse_arm():
    found = results(a=[20.0, 22.0, 19.0, 21.0, 20.0], b=[50.0, 52.0, 49.0, 50.0, 51.0])
    claim = {"worse": "b", "direction": "lower", "relative": True}
    changes = claim_changes(experiment(**claim).claims[0], found)
    assert changes[0] == pytest.approx(-0.6)
    assert verdict(found, smallest=0.5, **claim) == "holds"
    assert verdict(found, smallest=0.7, **claim) == "does not"


def test_a_level_is_about_one_arm():
    high, low = results(a=[0.93, 0.95, 0.96, 0.94, 0.95]), results(a=[0.4, 0.45, 0.5, 0.42, 0.44])
    assert verdict(high, kind="level", level=0.9) == "holds"
    assert verdict(low, kind="level", level=0.9) == "does not"
    assert verdict(low, kind="level", level=0.9, direction="lower") == "holds"
    unsure = results(a=[0.7, 1.0, 0.95, 0.85, 0.99])
    assert verdict(unsure, kind="level", level=0.9) == "not decided"


def test_equal_needs_proof_on_both_sides():
    b = [0.5] * 5
    near = results(a=[0.501, 0.499, 0.502, 0.498, 0.5], b=b)
    far = results(a=[0.6, 0.61, 0.59, 0.6, 0.6], b=b)
    noisy = results(a=[0.56, 0.44, 0.5, 0.57, 0.45], b=b)
    claim = {"kind": "equal", "worse": "b", "smallest": 0.02}
    assert verdict(near, **claim) == "holds"
    assert verdict(far, **claim) == "does not"
    assert verdict(noisy, **claim) == "not decided"


def test_an_arm_can_be_equal_to_a_level():
    claim = {"kind": "equal", "level": 0.0, "smallest": 0.05}
    assert verdict(results(a=[0.01, -0.01, 0.005, 0.0, 0.002]), **claim) == "holds"
    assert verdict(results(a=[0.2, 0.21, 0.19, 0.2, 0.2]), **claim) == "does not"


def test_a_gap_is_closed_by_a_share():
    found = results(a=[0.50, 0.52, 0.51, 0.5, 0.51], b=[0.40, 0.41, 0.40, 0.39, 0.40],
                    c=[0.54, 0.55, 0.54, 0.53, 0.55])  # fmt: skip
    claim = {"kind": "gap", "worse": "b", "reference": "c"}
    changes = claim_changes(experiment(share=0.5, **claim).claims[0], found)
    assert changes[0] == pytest.approx(0.10 - 0.5 * 0.14)
    assert verdict(found, share=0.5, **claim) == "holds"
    assert verdict(found, share=0.99, **claim) == "does not"


def test_two_one_sided_tests_by_hand():
    # mean 0, standard error 1/√2 · … : t = margin / error with 1 degree of freedom
    effect = paired_effect([-1.0, 1.0])  # mean 0, error 1
    assert equality_p(effect, 1.0) == pytest.approx(0.25)  # P(T > 1) with one degree of freedom
    assert equality_p(paired_effect([0.1, 0.1]), 0.2) == 0.0
    assert equality_p(paired_effect([0.3, 0.3]), 0.2) == 1.0
    assert equality_p(paired_effect([2.9, 3.1]), 1.0) > 0.9


def test_all_kinds_are_corrected_together():
    values = [0.001, -0.001, 0.002, -0.002, 0.0]
    found = results(a=[0.5 + v for v in values], b=[0.5] * 5)
    one = experiment(kind="equal", worse="b", smallest=0.004)
    two = one.model_copy(update={"claims": one.claims * 2})
    (alone,), (first, _) = judge(one, found), judge(two, found)
    assert alone.p is not None and first.p == pytest.approx(2 * alone.p)


@pytest.mark.parametrize(
    ("claim", "problem"),
    [
        ({}, "needs 'worse'"),
        ({"kind": "level"}, "needs 'level'"),
        ({"kind": "gap", "worse": "b"}, "needs 'reference'"),
        ({"kind": "equal", "worse": "b"}, "needs 'smallest'"),
        ({"kind": "equal", "smallest": 0.1}, "needs 'worse'"),
    ],
)
def test_a_claim_that_lacks_something_is_refused(claim, problem):
    with pytest.raises(ConfigError, match=problem):
        Claim.build({"claim": "c", "better": "a", "metric": "m", **claim}, "claim")


def test_the_page_says_what_is_equal_and_what_the_base_cost():
    result = {
        "title": "T", "quick": False, "equal": "tokens", "claims": [],
        "base": {"name": "verbose", "from": "tiny", "seconds": 300.0, "updated": 900_000.0},
        "arms": {"a": {"summary": "s", "seeds": [0], "mean": {"accuracy": 0.5, "rollouts": 6100.0}}},
    }  # fmt: skip
    page = to_page(result)
    assert "Equal between the arms: tokens" in page
    assert (
        "Base `verbose`, made from `tiny` once, in no arm's budget: 300 s, 900,000 tokens" in page
    )
    assert "| a | 1 | 0.500 | 6,100 | s |" in page
