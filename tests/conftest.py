"""What several tests need."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

with suppress(ImportError):  # the environment of vLLM is without it, and so are its tests
    from hypothesis import HealthCheck, settings

    # A moment in which the machine does something else is no fault of a test.
    settings.register_profile(
        "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("patient")


@pytest.fixture
def real_questions() -> Path:
    """The folder of real MathVision questions; tests that want it are skipped where there is none."""
    folder = os.environ.get("OBSERVE_R1_TEST_DATA")
    if not folder:
        pytest.skip("OBSERVE_R1_TEST_DATA names no folder of real questions")
    root = Path(folder)
    return root / "mathvision" if (root / "mathvision").is_dir() else root
