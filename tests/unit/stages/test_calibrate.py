"""This machine, measured."""

import time

import pytest

from observe_r1.stages.calibrate import calibrate


@pytest.mark.slow
def test_a_machine_is_measured() -> None:
    found = calibrate(time.process_time)
    assert found.product(64, 256, 256, 4) < found.product(256, 1024, 1024, 4)
    assert found.layer_seconds > 0 and found.decode_layer_seconds > 0
    assert len(found.widths) == 2 and found.widths[0] < found.widths[1]
    assert set(found.shares) == {"prompts", "decode", "optimise"}
    for shares in found.shares.values():
        assert len(shares) == 2 and all(0.05 < share < 20 for share in shares)
