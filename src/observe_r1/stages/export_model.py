"""The trained model as a folder that any program loads: weights, processor, chat template.

Without adapters it is a copy. Adapters are either kept (with the name of the model they belong to)
or merged into the weights.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from observe_r1.errors import ModelError, RunError
from observe_r1.records import read_json
from observe_r1.stages.models import locate_model

ADAPTER = "adapter_config.json"
NOT_EXPORTED = {"training"}
"""Optimizer and random numbers: of use to the run alone."""


def export_checkpoint(run: Path, out: Path, *, merge: bool) -> dict[str, Any]:
    """Write the latest checkpoint of a run folder, or a checkpoint folder, to ``out``."""
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise RunError(f"{out} is not empty, and nothing is overwritten. Choose another --out.")
    checkpoint = _find_checkpoint(run)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        has_adapter = (checkpoint / ADAPTER).is_file()
        if merge and has_adapter:
            merge_adapters(checkpoint, part)
        else:
            shutil.copytree(checkpoint, part, ignore=lambda _, names: NOT_EXPORTED & {*names})
        if out.is_dir():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {"model": str(out), "from": str(checkpoint), "merged": merge and has_adapter}


def _find_checkpoint(run: Path) -> Path:
    return Path(locate_model(str(run) if run.exists() else f"./{run}"))


def merge_adapters(checkpoint: Path, out: Path, *, dtype: str = "auto") -> None:
    """Adapters added into the weights of the model they were trained on, in ``dtype``."""
    from transformers import AutoProcessor

    from observe_r1.policy.load import load_weights_of

    base = read_json(checkpoint / ADAPTER).get("base_model_name_or_path")
    if not base:
        raise ModelError(
            f"{checkpoint / ADAPTER} does not name the model its adapters belong to, so they "
            "cannot be merged. Export without --merge."
        )
    try:
        locate_model(base)
        merged = load_weights_of(str(checkpoint), dtype=dtype)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the model that the adapters of {checkpoint} belong to, {base}, cannot be loaded: "
            f"{error}"
        ) from None
    merged.save_pretrained(out)
    AutoProcessor.from_pretrained(checkpoint).save_pretrained(out)
    (out / "merged.json").write_text(json.dumps({"base": base}) + "\n")
