"""Settings of the policy that could train nothing are refused by name."""

import pytest

from observe_r1.config.policy import PolicyConfig
from observe_r1.config.stages import DPOStage, RLStage, SFTStage
from observe_r1.errors import ConfigError


@pytest.mark.parametrize("stage", [RLStage, SFTStage, DPOStage])
def test_no_stage_trains_in_float16(stage) -> None:
    with pytest.raises(
        ConfigError, match=r"policy: gradients .* float16, .*policy\.dtype=bfloat16"
    ):
        stage.build({"policy": {"dtype": "float16"}}, "test")
    assert PolicyConfig(dtype="float16")  # to be asked with


def test_settings_that_leave_nothing_to_train_are_refused() -> None:
    frozen = {"freeze_vision": True, "freeze_aligner": True}
    with pytest.raises(ConfigError, match="leave nothing to train"):
        PolicyConfig.build(frozen | {"freeze_language": True}, "test")
    with pytest.raises(ConfigError, match="lora puts adapters on the language model"):
        PolicyConfig.build({"lora": {}, "freeze_language": True}, "test")
    assert PolicyConfig.build(frozen | {"lora": {}}, "test").lora
