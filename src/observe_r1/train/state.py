"""Where a run stands, and checkpoints of it: a run that is stopped and resumed leaves no trace.

    checkpoints/step-000120/     weights and processor as from_pretrained reads them
        training/state.json             step, updates, streaks, curriculum, sizes of growing files
        training/optimizer.safetensors  <parameter>/<state name>
        training/rng.safetensors        random numbers of every process
    checkpoints/latest           the newest, checkpoints/best the best measured

Nothing in a checkpoint is pickled: a run folder from a stranger cannot execute code. A checkpoint
is written under a temporary name and renamed when it is whole.
"""

import math
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from observe_r1.errors import RunError
from observe_r1.policy.load import Policy, save_model, trained_model
from observe_r1.policy.weights import sharded_like, whole, whole_state
from observe_r1.records import read_json, write_json
from observe_r1.train.distribute import Processes
from observe_r1.train.health import Health
from observe_r1.train.masters import MasterWeights
from observe_r1.train.purse import Purse

CHECKPOINTS, TRAINING = "checkpoints", "training"
STATE, OPTIMIZER, RNG = "state.json", "optimizer.safetensors", "rng.safetensors"
ON_GPU = "-cuda"
"""Behind a rank: the state of its GPU's generator, of which the adapters' dropout draws."""
MASTER = "master"
"""State name of the float32 copy of a half-precision weight."""


@dataclass(slots=True)
class TrainState:
    """Everything that counts upwards."""

    step: int = 0
    """Steps that are done."""
    seconds: float = 0.0
    """Time spent by all parts of this run so far."""
    best: float | None = None
    """The best measurement so far, made after ``best_step``."""
    best_step: int | None = None
    health: Health = field(default_factory=Health)
    purse: Purse = field(default_factory=Purse)

    def remaining_steps(
        self, max_steps: int, max_minutes: float | None, processes: Processes
    ) -> Iterator[int]:
        """Numbers of the steps to do, counted from 1, until a limit is reached. The first process
        tells the time: clocks that disagree would leave one waiting for the others."""
        limit = math.inf if max_minutes is None else 60 * max_minutes
        while self.step < max_steps and not self.purse.is_empty:
            if limit < math.inf and processes.from_main(lambda: self.seconds >= limit):
                return
            started = time.perf_counter()
            yield self.step + 1
            self.seconds += time.perf_counter() - started
            self.step += 1

    def improves(self, step: int, score: float | None) -> bool:
        """Whether this is the best measurement so far, which is then remembered."""
        if score is None or (self.best is not None and score <= self.best):
            return False
        self.best, self.best_step = score, step
        return True

    def name_best(self, run: Path) -> None:
        """Point ``best`` at the best checkpoint: a run that was killed between the two has not."""
        if self.best_step is not None and checkpoint_folder(run, self.best_step).exists():
            point(run, "best", checkpoint_folder(run, self.best_step))

    def state_dict(self) -> dict[str, Any]:
        """All but the step, which a checkpoint has in its name, and what is left of a budget."""
        return {
            "seconds": self.seconds, "best": self.best, "best_step": self.best_step,
            "health": asdict(self.health),
        }  # fmt: skip

    @classmethod
    def of(cls, values: dict[str, Any]) -> "TrainState":
        """As a checkpoint has it."""
        return cls(
            step=values["step"], seconds=values["seconds"], best=values["best"],
            best_step=values["best_step"], health=Health(**values["health"]),
        )  # fmt: skip


def checkpoint_folder(run: Path, step: int) -> Path:
    return run / CHECKPOINTS / f"step-{step:06d}"


def save_checkpoint(
    run: Path, policy: Policy, masters: MasterWeights, optimizer: torch.optim.Optimizer,
    values: dict[str, Any], *, step: int, keep: int, processes: Processes,
) -> Path:  # fmt: skip
    """Write a checkpoint whole or not at all, point ``latest`` at it, drop the oldest ones.

    Sharded weights are gathered by everyone; the first process writes.
    """
    folder = checkpoint_folder(run, step)
    writes = processes.is_main
    weights = whole_state(policy.model, keep=writes) if processes.sharded else None
    tensors = optimizer_tensors(masters, optimizer, keep=writes)
    states = processes.gather_objects(random_states())
    if writes:
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        (part / TRAINING).mkdir(parents=True)
        save_model(policy, part, weights)
        save_file(tensors, part / TRAINING / OPTIMIZER)
        numbered = {f"rank-{n}{kind}": state
                    for n, kinds in enumerate(states) for kind, state in kinds.items()}  # fmt: skip
        save_file(numbered, part / TRAINING / RNG)
        write_json(part / TRAINING / STATE, {"step": step, **values})
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
        point(run, "latest", folder)
        drop_old(run, keep)
    processes.wait()
    return folder


def point(run: Path, name: str, folder: Path) -> None:
    """A relative link, replaced in one move, so that a run folder can be carried elsewhere."""
    link, part = run / CHECKPOINTS / name, run / CHECKPOINTS / f".{name}.part"
    part.unlink(missing_ok=True)
    part.symlink_to(folder.name)
    os.replace(part, link)


def drop_old(run: Path, keep: int) -> None:
    """Keep the newest ``keep`` and whatever a link points at.

    An older one that is only the best is there to be used, not to be gone on from: its optimizer,
    several times as large as its weights, goes.
    """
    links: dict[Path, set[str]] = defaultdict(set)
    for path in (run / CHECKPOINTS).iterdir():
        if path.is_symlink():
            links[path.resolve()].add(path.name)
    for folder in sorted((run / CHECKPOINTS).glob("step-*"))[:-keep]:
        names = links[folder.resolve()]
        if not names:
            shutil.rmtree(folder)
        elif names == {"best"}:
            (folder / TRAINING / OPTIMIZER).unlink(missing_ok=True)


def latest_checkpoint(run: Path) -> Path | None:
    link = run / CHECKPOINTS / "latest"
    return link.resolve() if link.exists() else None


def read_state(folder: Path) -> dict[str, Any]:
    path = folder / TRAINING / STATE
    if not path.exists():
        raise RunError(
            f"{folder} holds weights but no training state, so nothing can be resumed from it. "
            "Resume the run folder it belongs to, or start a new run with it as the model."
        )
    return read_json(path)


def load_weights(policy: Policy, folder: Path) -> None:
    """Put a checkpoint's weights, or its adapters, into a policy of the same shape."""
    base = trained_model(policy)
    if policy.config.lora is not None:
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(policy.model, load_file(folder / "adapter_model.safetensors"))
        return
    saved = type(base).from_pretrained(folder, dtype=base.dtype)
    base.load_state_dict(saved.state_dict())


def load_training(
    folder: Path, masters: MasterWeights, optimizer: torch.optim.Optimizer, rank: int = 0
) -> None:
    """Optimizer and random numbers; weights were loaded with the policy."""
    restore_optimizer(masters, optimizer, load_file(folder / TRAINING / OPTIMIZER))
    states = load_file(folder / TRAINING / RNG)
    # With more processes than before, the new ones begin as they are.
    torch.set_rng_state(states.get(f"rank-{rank}", torch.get_rng_state()))
    if torch.cuda.is_available() and (on_gpu := states.get(f"rank-{rank}{ON_GPU}")) is not None:
        torch.cuda.set_rng_state(on_gpu)


def random_states() -> dict[str, torch.Tensor]:
    """Of this process's generators, by what is put behind its rank."""
    found = {"": torch.get_rng_state()}
    if torch.cuda.is_available():
        found[ON_GPU] = torch.cuda.get_rng_state()
    return found


def optimizer_tensors(
    masters: MasterWeights, optimizer: torch.optim.Optimizer, *, keep: bool = True
) -> dict[str, torch.Tensor]:
    """``<parameter>/<state name>`` → tensor: no pickle, and readable by anyone. A process that does
    not ``keep`` them only helps to gather."""
    found = {}
    for pair in masters:
        state = dict(optimizer.state.get(pair.master, {}))
        if pair.is_copied:
            state[MASTER] = pair.master
        for key, value in sorted(state.items()):
            if value is not None:
                tensor = whole(torch.as_tensor(value)).detach()
                if keep:
                    found[f"{pair.name}/{key}"] = tensor.cpu().contiguous()
    return found


def restore_optimizer(
    masters: MasterWeights, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]
) -> None:
    by_name: dict[str, dict[str, torch.Tensor]] = {}
    for path, tensor in tensors.items():
        name, _, key = path.rpartition("/")
        by_name.setdefault(name, {})[key] = tensor
    for pair in masters:
        state = by_name.get(pair.name, {})
        if MASTER in state:
            pair.master.data.copy_(sharded_like(pair.master, state.pop(MASTER)))
        if state:
            # The step counter is no shard; fused optimizers want it where the weights are.
            optimizer.state[pair.master] = {
                k: v.to(pair.master.device) if k == "step" else sharded_like(pair.master, v)
                for k, v in state.items()
            }
