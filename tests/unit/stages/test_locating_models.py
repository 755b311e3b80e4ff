import json
import struct
from pathlib import Path

import pytest

from observe_r1.errors import ModelError
from observe_r1.stages.models import locate_and_name, locate_model


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
    assert locate_model(str(checkpoints / "latest")) == str(checkpoints / "step-000004")


def test_answers_of_a_run_are_recorded_under_its_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints = Path("runs/a/2-rl/checkpoints")
    for step, state in (("step-000004", "{}"), ("step-000008", '{"step": 8}')):
        write_weights(checkpoints / step / "training")
        write_weights(checkpoints / step)
        (checkpoints / step / "training" / "state.json").write_text(state)
    link = checkpoints / "latest"
    names = []
    for step in ("step-000004", "step-000008"):
        link.unlink(missing_ok=True)
        link.symlink_to(step)
        of_run, of_link = locate_and_name("runs/a"), locate_and_name(str(link))
        assert of_run == of_link == locate_and_name(f"runs/a/2-rl/checkpoints/{step}")
        assert of_run[0] == f"runs/a/2-rl/checkpoints/{step}"
        names.append(of_run[1])
    assert names[0] == "runs/a/2-rl/checkpoints/step-000004@44136fa3"  # sha256sum of "{}"
    (checkpoints / "step-000008" / "training" / "state.json").write_text('{"step": 8, "best": 1}')
    trained_anew = locate_and_name("runs/a")[1]
    assert trained_anew.startswith("runs/a/2-rl/checkpoints/step-000008@")
    assert trained_anew != names[1]


def test_what_is_no_run_is_recorded_as_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_weights(Path("model"))
    for given in ("tiny", "Qwen/Qwen2.5-VL-3B-Instruct", "./model"):
        assert locate_and_name(given)[1] == given


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
