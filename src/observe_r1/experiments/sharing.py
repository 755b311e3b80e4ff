"""Arms that begin alike share what they have in common: equal first stages are run once a seed.

    trials/grpo/seed-3/1-thoughts  2-sft  3-rl
    trials/ton/seed-3/ 1-thoughts ◀─ linked ─┘ 2-sft (another: it drops thoughts)  3-rl

Two stages are equal when the model, every setting of the stages up to them, the budget and the data
are. Files are linked, not copied; costs count in every arm that uses them.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from observe_r1.config.run import RunConfig
from observe_r1.records import read_json, write_json
from observe_r1.stages.handover import stage_folders
from observe_r1.stages.pipeline import CONFIG, DONE


def keys_path(out: Path) -> Path:
    """Beside the trial's folder: a run folder that is not empty would not be started in."""
    return out.with_name(f"{out.name}.stages.json")


def stage_keys(run: RunConfig, out: Path) -> dict[str, str]:
    """For the folder of each stage but the last a key that equal beginnings share."""
    digest = hashlib.sha256()
    budget = run.budget.model_dump()
    digest.update(json.dumps([run.model, run.data, budget], sort_keys=True).encode())
    keys = {}
    for folder, stage in stage_folders(run, out)[:-1]:
        digest.update(json.dumps(stage.model_dump(mode="json"), sort_keys=True).encode())
        keys[folder.name] = digest.hexdigest()
    return keys


def begin(run: RunConfig, out: Path, others: Iterable[Path]) -> bool:
    """Put what other trials have finished alike into a trial's folder; whether the trial is one to
    be resumed then. A trial that has begun by itself is left as it is."""
    if (out / CONFIG).exists():
        return True
    keys = stage_keys(run, out)
    shared = _shared_stages(keys, others)
    if not shared:
        return False
    out.mkdir(parents=True, exist_ok=True)
    for name, source in shared.items():
        _link(source, out / name)
    write_json(out / CONFIG, run.model_dump(mode="json"))
    return True


def publish(run: RunConfig, out: Path) -> None:
    """Tell other trials what the stages of this one are."""
    write_json(keys_path(out), stage_keys(run, out))


def _shared_stages(keys: dict[str, str], others: Iterable[Path]) -> dict[str, Path]:
    """The longest equal beginning that some other trial has finished."""
    best: dict[str, Path] = {}
    for other in others:
        if not keys_path(other).exists():
            continue
        theirs, found = read_json(keys_path(other)), {}
        for name, key in keys.items():
            if theirs.get(name) != key or not (other / name / DONE).exists():
                break
            found[name] = other / name
        best = max(best, found, key=len)
    return best


def _link(source: Path, target: Path) -> None:
    """A folder of links to the same files, there as a whole or not at all."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part, symlinks=True, copy_function=os.link)
    os.replace(part, target)
