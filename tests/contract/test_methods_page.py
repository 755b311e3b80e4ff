"""docs/methods.md is what the recipes say today."""

import importlib.util
from pathlib import Path

from observe_r1.experiments.plan import load_experiment
from observe_r1.recipes import names

ROOT = Path(__file__).parents[2]


def load_script():
    specification = importlib.util.spec_from_file_location(
        "make_methods", ROOT / "scripts" / "make_methods.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_methods_page_is_up_to_date(tmp_path, monkeypatch):
    module = load_script()
    monkeypatch.setattr(module, "PAGE", tmp_path / "methods.md")
    module.main()
    there = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert there == (tmp_path / "methods.md").read_text(encoding="utf-8"), "run make docs"


def test_the_page_says_which_methods_the_head_to_head_leaves_out():
    module = load_script()
    experiment = load_experiment(module.HEAD_TO_HEAD)
    compared = {experiment.recipe_of(arm) for arm in experiment.arms}
    said = module.WHICH.partition("Left out:")[2]
    unsaid = [name for name in names() if name not in compared and f"`{name}`" not in said]
    assert not unsaid
