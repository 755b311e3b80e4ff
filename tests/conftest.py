"""What several tests need."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def real_questions() -> Path:
    """The folder of real MathVision questions; tests that want it are skipped where there is none."""
    folder = os.environ.get("OBSERVE_R1_TEST_DATA")
    if not folder:
        pytest.skip("OBSERVE_R1_TEST_DATA names no folder of real questions")
    root = Path(folder)
    return root / "mathvision" if (root / "mathvision").is_dir() else root
