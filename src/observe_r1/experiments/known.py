"""Trials that are known from a result: what one machine has run, another need not run again.

    docs/results/observe_r1.json  ─▶  out/trials/<arm>/seed-<n>/result.json, curve.json

So an experiment of hours is run in pieces, on any machine, and one small file is carried between.
"""

from pathlib import Path
from typing import Any

from observe_r1.errors import DataError, RunError
from observe_r1.experiments.plan import Experiment
from observe_r1.experiments.readouts import Points, curve_points
from observe_r1.experiments.trial import RESULT, Trial
from observe_r1.records import read_json, write_json

CURVE = "curve.json"
"""The learning curve of a trial that was run elsewhere."""


def take_known(experiment: Experiment, known: Path, out: Path) -> int:
    """Count the trials of a result as done; returns how many there were to take."""
    result = _read(known)
    if result.get("plan") != experiment.written():
        raise RunError(
            f"{known} is a result of another version of '{experiment.name}', and trials of two "
            "versions are not mixed. Leave out --known, or go back to that version."
        )
    taken = 0
    for arm, seeds in result["trials"].items():
        for seed, numbers in seeds.items():
            folder = Trial(arm, int(seed)).folder(out)
            if (folder / RESULT).exists():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / CURVE, result.get("curves", {}).get(arm, {}).get(seed, []))
            write_json(folder / RESULT, numbers)  # last: with it the trial is done
            taken += 1
    return taken


def curve_of(folder: Path) -> Points:
    """A finished trial's learning curve, wherever it was run."""
    carried = folder / CURVE
    return read_json(carried) if carried.exists() else curve_points(folder)


def _read(path: Path) -> dict[str, Any]:
    try:
        result = read_json(path)
        return {"trials": result["trials"], **result}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no result of an experiment ({error!r}). Give a <name>.json that "
            "'observe-r1 reproduce' has written."
        ) from None
