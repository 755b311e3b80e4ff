"""The optimizer's moments of one stage, handed on to the next."""

from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import load_file

from observe_r1.errors import ConfigError
from observe_r1.train.state import MASTER, OPTIMIZER, TRAINING, restore_optimizer

if TYPE_CHECKING:
    import torch

    from observe_r1.train.masters import MasterWeights


def keep_moments(
    masters: "MasterWeights", optimizer: "torch.optim.Optimizer", model: str, stage: str
) -> None:
    """Fill a new optimizer with the state that the checkpoint holds which a stage starts from."""
    path = Path(model) / TRAINING / OPTIMIZER
    if not path.is_file():
        raise ConfigError(
            f"{stage}.optimizer_state is 'keep', but {model} holds no optimizer. Start from a "
            "checkpoint of a run, or set it to 'reset'."
        )
    shapes = {pair.name: tuple(pair.master.shape) for pair in masters}
    kept = {}
    for key, tensor in load_file(path).items():
        name, _, state = key.rpartition("/")
        fits = name in shapes and tuple(tensor.shape) in ((), shapes[name])
        if fits and state != MASTER:  # the weights themselves have moved on
            kept[key] = tensor
    if not kept:
        raise ConfigError(
            f"{stage}.optimizer_state is 'keep', but the optimizer in {path} belongs to other "
            "parameters than those this stage trains (adapters, or frozen parts?). Set it to "
            "'reset'."
        )
    restore_optimizer(masters, optimizer, kept)
