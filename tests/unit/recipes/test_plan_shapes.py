import json

import pytest

import fakes
from observe_r1.errors import ModelError
from observe_r1.recipes.model_size import billions_of_parameters
from observe_r1.recipes.plan.shapes import find_shape, known_shapes, shape_of, typical_shape

# What the models themselves count, built without weights from the same config.json.
COUNTED = {
    "Qwen2-VL-2B": 2_208_985_600,
    "Qwen2-VL-7B": 8_291_375_616,
    "Qwen2.5-VL-3B": 3_754_622_976,
    "Qwen2.5-VL-7B": 8_292_166_656,
    "Qwen2.5-VL-32B": 33_452_718_336,
    "Qwen2.5-VL-72B": 73_410_777_344,
    "Qwen3-VL-2B": 2_127_532_032,
    "Qwen3-VL-4B": 4_437_815_808,
    "Qwen3-VL-8B": 8_767_123_696,
}


@pytest.mark.parametrize("name", COUNTED)
def test_the_parameters_of_a_known_model_are_counted_exactly(name):
    assert find_shape(f"Qwen/{name}-Instruct").parameters == COUNTED[name]


def test_every_model_on_the_list_is_checked():
    assert known_shapes().keys() == COUNTED.keys()


def test_a_folder_is_read_from_its_config(tmp_path):
    model = fakes.tiny_model()
    model.config.save_pretrained(tmp_path)
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert find_shape(str(tmp_path)).parameters == counted


def test_the_built_in_model_has_as_many_parameters_as_its_file():
    from importlib.resources import files

    folder = str(files("observe_r1").joinpath("assets", "tiny"))
    assert find_shape("tiny").parameters / 1e9 == billions_of_parameters(folder)


def test_the_parts_of_a_model_are_told_apart():
    shape = find_shape("Qwen2.5-VL-3B")
    parts = (shape.language_parameters, shape.vision_parameters, shape.aligner_parameters)
    assert [round(part / 1e6) for part in parts] == [3086, 632, 37]
    assert shape.patches(100) == 400


def test_other_families_are_read_too():
    shape = shape_of(
        "llava",
        {
            "model_type": "llava",
            "text_config": {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128,
                            "num_attention_heads": 4, "vocab_size": 100},
            "vision_config": {"num_hidden_layers": 3, "hidden_size": 32, "intermediate_size": 64,
                              "patch_size": [14, 14]},
        },
    )  # fmt: skip
    assert (shape.language.key, shape.vision.layers, shape.merged) == (64, 3, 1)
    assert shape.parameters > 0


@pytest.mark.parametrize("billions", [0.5, 3.0, 13.0, 70.0])
def test_a_typical_shape_has_the_size_it_was_asked_for(billions):
    assert typical_shape(billions).parameters / 1e9 == pytest.approx(billions, rel=0.05)


def test_an_unknown_name_says_what_to_do():
    with pytest.raises(ModelError, match=r"Download its config\.json"):
        find_shape("org/some-model")
    with pytest.raises(ModelError, match=r"Did you mean Qwen2\.5-VL-3B"):
        find_shape("Qwen2.5-VL-3")


def test_a_config_without_sizes_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "x", "vision_config": {}}))
    with pytest.raises(ModelError, match="'num_attention_heads' is missing"):
        find_shape(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        find_shape(str(tmp_path))
