"""Whether the weights that a stage reads can be used, as far as their files' headers tell."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from observe_r1.config.order import merged_by, models_of
from observe_r1.config.params import Merge, ParamsStage
from observe_r1.config.run import RunConfig
from observe_r1.config.stage_base import BASE, PREVIOUS
from observe_r1.config.stages import Stage
from observe_r1.errors import ModelError
from observe_r1.stages.handover import ADAPTER, writes_weights
from observe_r1.stages.models import locate_model
from observe_r1.stages.weight_files import refuse_other_shapes

START = "the weights the stage starts from"
SEEING = ("vision", "visual", "image", "vq_config")
"""What a setting is called of a model that takes pictures."""


def check_weights(run: RunConfig, stage: Stage, earlier: Sequence[Stage]) -> None:
    """Models that no earlier stage writes must be there, and see; those that are merged, fit."""
    names = {other.name for other in earlier}
    for model in models_of(stage):
        if model not in names:
            refuse_text_only(model, f"stage '{stage.name}' reads {model}")
    if isinstance(stage, ParamsStage):
        for operation in stage.operations:
            if isinstance(operation, Merge):
                _check_shapes(run, stage, operation, earlier)


def refuse_text_only(model: str, reads: str) -> None:
    """Language models are told by their configuration; names on the hub cannot be looked at."""
    config = _read(Path(_whole(model)) / "config.json")
    kinds = [str(kind) for kind in config.get("architectures") or ()]
    sees = any(word in key for key in config for word in SEEING)
    if kinds and all(kind.endswith("ForCausalLM") for kind in kinds) and not sees:
        raise ModelError(
            f"{reads}, which is a model of text alone ({kinds[0]}), and questions here have "
            "pictures. Name a vision-language model. To be taught by one that does not see, serve "
            "it: teacher.type = 'endpoint', with show_images = false."
        )


def _check_shapes(
    run: RunConfig, stage: ParamsStage, operation: Merge, earlier: Sequence[Stage]
) -> None:
    """Training changes no shape, so that a stage's weights have those of what it starts from."""
    wanted = {name: name for name in merged_by(operation)} | {START: stage.start_from}
    known = {name: _whole(_origin(run, model, earlier)) for name, model in wanted.items()}
    refuse_other_shapes(stage.name, known)


def _origin(run: RunConfig, start_from: str, earlier: Sequence[Stage]) -> str:
    """The model outside the recipe that weights come from in the end."""
    if start_from == BASE:
        return run.model
    for place in range(len(earlier) - 1, -1, -1):
        other = earlier[place]
        is_meant = writes_weights(other) if start_from == PREVIOUS else other.name == start_from
        if is_meant:
            return _origin(run, other.start_from, earlier[:place])
    return run.model if start_from == PREVIOUS else start_from


def _whole(model: str) -> str:
    """Where a model is; of adapters, the model that they belong to."""
    located = locate_model(model)
    adapters = _read(Path(located) / ADAPTER)
    return str(adapters.get("base_model_name_or_path") or located)


def _read(path: Path) -> Mapping[str, Any]:
    """A file of settings; empty where there is none that can be read, which loading will say."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
