"""Operations on weights, tensor by tensor."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import fakes
from observe_r1.config.params import Merge
from observe_r1.config.stages import ParamsStage
from observe_r1.errors import ConfigError, ModelError
from observe_r1.stages.params import merge_vectors, run_params
from observe_r1.stages.weight_files import file_shapes, refuse_other_shapes


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Three models of one shape, and one of another."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, settings in {
        "base": {"seed": 0}, "one": {"seed": 1}, "two": {"seed": 2}, "wide": {"hidden": 64},
    }.items():  # fmt: skip
        fakes.tiny_model(**settings).save_pretrained(folder / name)
        fakes.byte_processor().save_pretrained(folder / name)
        found[name] = str(folder / name)
    return found


def weights(folder: str | Path) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "model.safetensors")


def changed(
    models: dict[str, str], run: Path, *operations: dict[str, Any], **more: Any
) -> dict[str, torch.Tensor]:
    stage = ParamsStage.build({"operations": operations, **more}, "test")
    return weights(run_params(stage, model=models["base"], others=models, run=run))


def test_shrink_and_perturb_mixes_old_and_fresh_weights(
    models: dict[str, str], tmp_path: Path
) -> None:
    before = weights(models["base"])
    same = changed(models, tmp_path / "a", {"type": "shrink_perturb", "shrink": 1, "perturb": 0})
    assert all(torch.equal(before[name], same[name]) for name in before)
    half = changed(models, tmp_path / "b", {"type": "shrink_perturb", "shrink": 0.5, "perturb": 0})
    assert all(torch.allclose(0.5 * before[name], half[name]) for name in before)
    fresh = changed(models, tmp_path / "c", {"type": "shrink_perturb", "shrink": 0, "perturb": 1})
    mixed = changed(models, tmp_path / "d", {"type": "shrink_perturb"})
    for name in before:
        torch.testing.assert_close(mixed[name], 0.4 * before[name] + 0.1 * fresh[name])


def test_the_noise_is_a_function_of_the_seed(models: dict[str, str], tmp_path: Path) -> None:
    operation = {"type": "shrink_perturb"}
    one, again = (changed(models, tmp_path / n, operation, seed=3) for n in ("a", "b"))
    other = changed(models, tmp_path / "c", operation, seed=4)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_stages_with_one_seed_draw_different_noise(models: dict[str, str], tmp_path: Path) -> None:
    operation = {"type": "shrink_perturb", "shrink": 0.0, "perturb": 1.0}
    begun = changed(models, tmp_path / "a", operation, name="from_nothing", seed=3)
    shaken = changed(models, tmp_path / "b", operation, name="perturb", seed=3)
    drawn = {name for name in begun if begun[name].std() > 0}  # norms begin with ones
    assert drawn
    assert not any(torch.equal(begun[name], shaken[name]) for name in drawn)


def test_only_the_parts_named_are_changed(models: dict[str, str], tmp_path: Path) -> None:
    before = weights(models["base"])
    after = changed(models, tmp_path, {"type": "shrink_perturb", "parts": ["vision"]})
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all("visual" in name and "merger" not in name for name in moved)


def test_a_merge_adds_the_mean_of_what_was_learnt(models: dict[str, str], tmp_path: Path) -> None:
    base, one, two = (weights(models[name]) for name in ("base", "one", "two"))
    merged = changed(models, tmp_path / "a", {"type": "merge", "models": ["one", "two"]})
    for name in base:
        torch.testing.assert_close(merged[name], (one[name] + two[name]) / 2)
    summed = changed(
        models, tmp_path / "b", {"type": "merge", "models": ["one", "two"], "weights": [1, 0.5]}
    )
    for name in base:
        expected = base[name] + (one[name] - base[name]) + 0.5 * (two[name] - base[name])
        torch.testing.assert_close(summed[name], expected)


def vectors(*values: list[float]) -> list[dict[str, torch.Tensor]]:
    return [{"w": torch.tensor(value)} for value in values]


def test_normalised_vectors_weigh_the_same() -> None:
    merge = Merge(models=("a", "b"), normalise=True, weights=(1, 1))
    found = merge_vectors(vectors([3.0, 4.0], [0.0, 1.0]), merge)["w"]
    torch.testing.assert_close(found, torch.tensor([1.8, 2.4 + 3.0]))  # both to the norm 3


def test_erasing_takes_out_the_minority_sign() -> None:
    merge = Merge(models=("a", "b", "c"), erase=True, weights=(1, 1, 1))
    found = merge_vectors(vectors([1.0, -5.0], [2.0, 1.0], [-1.0, 1.0]), merge)["w"]
    torch.testing.assert_close(found, torch.tensor([3.0, -5.0]))


def test_dropping_keeps_the_expected_sum() -> None:
    torch.manual_seed(0)
    merge = Merge(models=("a",), drop=0.75)
    found = merge_vectors([{"w": torch.ones(40_000)}], merge)["w"]
    assert set(found.tolist()) == {0.0, 4.0}
    assert float(found.mean()) == pytest.approx(1.0, abs=0.05)


def test_models_on_the_hub_are_refused_by_their_configuration(
    models: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the hub only the file that would be fetched stands in: there is no network in tests."""
    own = json.loads((Path(models["base"]) / "config.json").read_text())
    text = own["text_config"]
    older = {**own, **text, "hidden_size": text["hidden_size"] + 8}  # all at the top
    del older["text_config"]
    (tmp_path / "config.json").write_text(json.dumps(older))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: str(tmp_path / "config.json"))
    with pytest.raises(ModelError, match="cannot merge org/other with base: hidden_size is"):
        refuse_other_shapes("fuse", {"base": models["base"], "org/other": "org/other"})
    (tmp_path / "config.json").write_text(json.dumps({**own, **text}))
    refuse_other_shapes("fuse", {"base": models["base"], "org/other": "org/other"})
    (tmp_path / "config.json").unlink()  # as where there is no network: loading will say
    refuse_other_shapes("fuse", {"base": models["base"], "org/none": "org/none"})


def test_models_of_different_shapes_are_refused_by_their_files(
    models: dict[str, str], tmp_path: Path
) -> None:
    assert file_shapes(models["base"]) == file_shapes(models["one"])
    with pytest.raises(ModelError, match=r"cannot merge wide with base: weight .* is \[?\(?"):
        refuse_other_shapes("fuse", {"base": models["base"], "wide": models["wide"]})
    with pytest.raises(ModelError, match="cannot merge wide with base"):
        changed(models, tmp_path / "run", {"type": "merge", "models": ["wide"]})
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_an_optimizer_that_is_not_there_cannot_be_kept(
    models: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="holds no optimizer"):
        changed(models, tmp_path, {"type": "shrink_perturb"}, optimizer="keep")
