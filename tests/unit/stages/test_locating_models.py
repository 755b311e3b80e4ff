import json
import struct
from pathlib import Path

import pytest

from observe_r1.errors import ModelError
from observe_r1.stages.models import locate_model


def write_weights(folder: Path, *, cut: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(16)
    (folder / "model.safetensors").write_bytes(content[: len(content) - cut])


def test_names_on_the_hub_and_the_built_in_model_are_left_as_they_are():
    assert locate_model("tiny") == "tiny"
    assert locate_model("Qwen/Qwen2.5-VL-3B-Instruct") == "Qwen/Qwen2.5-VL-3B-Instruct"


def test_a_checkpoint_folder(tmp_path):
    write_weights(tmp_path / "model")
    assert locate_model(str(tmp_path / "model")) == str(tmp_path / "model")


def test_a_run_folder_means_its_latest_checkpoint(tmp_path):
    checkpoints = tmp_path / "run" / "checkpoints"
    write_weights(checkpoints / "step-000004")
    (checkpoints / "latest").symlink_to("step-000004")
    assert locate_model(str(tmp_path / "run")).endswith("checkpoints/step-000004")


@pytest.mark.parametrize("model", ["./not/there", "/not/there", "not-there", "a/b/c"])
def test_a_folder_that_is_not_there(model):
    with pytest.raises(ModelError, match="there is no model folder"):
        locate_model(model)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ModelError, match="holds no model"):
        locate_model(str(tmp_path))


@pytest.mark.parametrize("cut", [1, 16, 60, 90])
def test_weights_that_were_cut_off(tmp_path, cut):
    write_weights(tmp_path / "model", cut=cut)
    with pytest.raises(ModelError, match=r"model\.safetensors is broken"):
        locate_model(str(tmp_path / "model"))
