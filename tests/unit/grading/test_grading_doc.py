"""The page on grading says what the tests check."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "scripts" / "make_grading_doc.py"


def test_the_page_is_the_one_made_from_the_table() -> None:
    spec = importlib.util.spec_from_file_location("make_grading_doc", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = module.PAGE.read_text(encoding="utf-8")
    assert written == module.page(), "run: python scripts/make_grading_doc.py"
