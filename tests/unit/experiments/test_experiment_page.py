"""The page of an experiment: every number that the tables promise, figures that are well-formed."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from observe_r1.errors import ConfigError
from observe_r1.experiments.figures import curves_figure, effects_figure, mean_curve
from observe_r1.experiments.page import BEGIN, END, kept_notes, page_text, write_page
from observe_r1.experiments.plan import Experiment, load_experiment
from observe_r1.experiments.readouts import curve_area
from observe_r1.experiments.verdicts import to_json

SVG = "{http://www.w3.org/2000/svg}"


def experiment() -> Experiment:
    return Experiment.model_validate({
        "name": "small", "title": "Small & sound?", "recipe": "grpo",
        "budget": {"generated": 1000, "updated": 4000}, "full_scale": "Use eight GPUs.",
        "arms": [{"name": "a", "summary": "one"}, {"name": "b", "summary": "other"}],
        "claims": [{"claim": "a < b? <b>no</b>", "better": "a", "worse": "b", "metric": "accuracy",
                    "smallest": 0.02}],
        "quick": {"arms": ["a", "b"]},
    })  # fmt: skip


def readouts(accuracy: float, **more: float) -> dict[str, float]:
    return {
        "accuracy": accuracy, "accuracy/level 0": accuracy + 0.2, "accuracy/level 1": accuracy - 0.1,
        "tokens_generated": 1010, "tokens_updated": 2000, "seconds": 90.0, "rollouts": 40,
        "steps/rl": 7, "observed_precision": 0.8, "observed_recall": accuracy, **more,
    }  # fmt: skip


def result() -> dict:
    results = {
        "a": {seed: readouts(0.5 + seed / 100) for seed in range(3)},
        "b": {
            seed: readouts(0.4 + seed / 100, tokens_generated=700, tokens_updated=4001)
            for seed in range(3)
        },
    }
    found = to_json(experiment(), results, quick=False)
    found["trials"] = {arm: {str(s): r for s, r in seeds.items()} for arm, seeds in results.items()}
    found["start"] = {arm: {"observed_recall": 0.3, "observed_precision": 0.7} for arm in results}
    found["curves"] = {
        "a": {"0": [[100, 0.2], [900, 0.5]]}, "b": {"0": [[100, 0.2], [600, 0.4]]},
    }  # fmt: skip
    found["machine"] = {"cpus": 2, "trials_at_once": 2}
    return found


def test_the_page_says_what_was_measured_and_what_it_cost(tmp_path):
    page = write_page(result(), tmp_path).read_text(encoding="utf-8")
    assert "| a | 71.0 ± 2.5 | 41.0 ± 2.5 |" in page  # t-interval of three seeds, by hand: 2.48
    assert "| a | 80.0 (+10.0 [+10.0, +10.0]) | 51.0 (+21.0 [+18.5, +23.5]) |" in page
    assert "| a | 1,010 (101 %) | 2,000 (50 %) | 7 | 40 | 90 | generated |" in page
    assert "| b | 700 (70 %) | 4,001 (100 %) | 7 | 40 | 90 | updated |" in page
    assert "generate 1,000 and update on 4,000 tokens" in page
    assert "6 trials trained for 0.1 h in all, 2 at a time on 2 cores." in page
    assert "## At full scale\n\nUse eight GPUs." in page


def test_the_page_names_arms_that_left_some_of_their_budget(tmp_path):
    assert "Not all of a budget" not in write_page(result(), tmp_path).read_text(encoding="utf-8")
    found = result()
    for numbers in found["trials"]["b"].values():
        numbers["tokens_updated"] = 3600
    page = write_page(found, tmp_path).read_text(encoding="utf-8")
    assert "**Not all of a budget was spent by b (90 %)**: compare" in page


def test_the_page_says_how_many_trials_had_a_gpu(tmp_path):
    found = result()
    found["trials"]["a"]["0"]["on_gpu"] = 1.0
    page = write_page(found, tmp_path).read_text(encoding="utf-8")
    assert "6 trials trained for 0.1 h in all, 2 at a time, 1 of them on a GPU." in page
    for seeds in found["trials"].values():
        for numbers in seeds.values():
            numbers["on_gpu"] = 1.0
    page = write_page(found, tmp_path).read_text(encoding="utf-8")
    assert "6 trials trained for 0.1 h in all, 2 at a time on a GPU." in page


def test_what_people_wrote_stays_when_the_page_is_made_again(tmp_path):
    path = write_page(result(), tmp_path)
    assert "Nothing has been written here yet." in path.read_text(encoding="utf-8")
    text = path.read_text(encoding="utf-8")
    own = "The bonus did nothing.\n\nWe had expected more."
    path.write_text(text.replace("Nothing has been written here yet.", own), encoding="utf-8")
    changed = result() | {"title": "Another title"}
    page = write_page(changed, tmp_path).read_text(encoding="utf-8")
    assert "# Another title" in page
    assert kept_notes(page) == own
    assert page.count(BEGIN) == page.count(END) == 1


def test_figures_are_drawings_that_hold_their_data(tmp_path):
    write_page(result(), tmp_path)
    effects = ElementTree.parse(tmp_path / "small-effects.svg").getroot()
    (dot,) = effects.iter(f"{SVG}circle")
    lines = [line for line in effects.iter(f"{SVG}line") if line.get("stroke-width") == "2.5"]
    assert float(lines[0].get("x1")) <= float(dot.get("cx")) <= float(lines[0].get("x2"))
    texts = [text.text for text in effects.iter(f"{SVG}text")]
    assert "a < b? <b>no</b>" in texts  # a claim's words are text, never markup
    curves = ElementTree.parse(tmp_path / "small-curves.svg").getroot()
    assert len(list(curves.iter(f"{SVG}polyline"))) == 2


def test_nothing_to_draw_is_no_figure():
    assert effects_figure([]) is None
    assert curves_figure({}, None) is None
    assert curves_figure({"a": [[[5, 0.1]]]}, 10) is None
    bare = result() | {"curves": {}, "start": {}, "trials": {}, "full_scale": ""}
    page = page_text(bare, {}, "")
    assert "![" not in page and "## By level" not in page and "## At full scale" not in page


def test_the_mean_of_curves_lies_where_all_of_them_do():
    points = mean_curve([[(0, 0.2), (10, 0.4)], [(5, 0.4), (20, 1.0)]])
    assert points[0] == (5, pytest.approx((0.3 + 0.4) / 2))
    assert points[-1] == (10, pytest.approx((0.4 + 0.6) / 2))
    assert mean_curve([[(0, 0.2), (1, 0.2)], [(5, 0.4), (6, 0.4)]]) == []


def test_the_area_is_over_the_budget_whatever_stretch_was_measured():
    assert curve_area([(10, 0.2), (20, 0.4)], budget=40) == pytest.approx(0.325)
    assert curve_area([(10, 0.4)], budget=40) == pytest.approx(0.4)
    # The step that spends the budget overshoots it: no more than the budget counts.
    assert curve_area([(10, 0.2), (44, 0.2)], budget=40) == pytest.approx(0.2)
    steady, late = [(10, 0.4), (40, 0.4)], [(10, 0.1), (30, 0.1), (40, 0.4)]
    assert curve_area(steady, 40) > curve_area(late, 40)


def test_an_experiment_of_ones_own_is_read_from_its_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'title = "Mine"\nrecipe = "grpo"\n[[arms]]\nname = "a"\nsummary = "s"\n[[claims]]\n'
        'claim = "c"\nkind = "level"\nbetter = "a"\nmetric = "accuracy"\nlevel = 0.1\n'
        '[quick]\narms = ["a"]\n'
    )
    assert load_experiment(str(path)).name == "mine"
    path.write_text("title = ")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_experiment(str(path))
    with pytest.raises(ConfigError, match="there is no experiment"):
        load_experiment(str(Path(tmp_path / "other.toml")))


@pytest.mark.parametrize(("text", "seeds"), [("3", [3]), ("0-2", [0, 1, 2])])
def test_seeds_are_chosen_by_first_and_last(text, seeds):
    from observe_r1.cli.reproduce import parse_seeds

    assert list(parse_seeds(text)) == seeds


@pytest.mark.parametrize("text", ["", "x", "2-1", "1-", "-3", "1,2"])
def test_other_words_for_seeds_are_refused(text):
    from observe_r1.cli.reproduce import parse_seeds

    with pytest.raises(ConfigError, match="names no seeds"):
        parse_seeds(text)
