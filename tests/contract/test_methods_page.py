"""docs/methods.md is what the recipes say today."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_methods_page_is_up_to_date(tmp_path, monkeypatch):
    specification = importlib.util.spec_from_file_location(
        "make_methods", ROOT / "scripts" / "make_methods.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "PAGE", tmp_path / "methods.md")
    module.main()
    there = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert there == (tmp_path / "methods.md").read_text(encoding="utf-8"), "run make docs"
