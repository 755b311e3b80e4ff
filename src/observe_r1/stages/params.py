"""Operations on weights: shrink-and-perturb, merging of task vectors. Nothing is trained.

weights ─▶ operation ─▶ operation ─▶ checkpoints/step-000000
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from observe_r1.config.params import Merge, ParamsStage, ShrinkPerturb
from observe_r1.errors import ConfigError
from observe_r1.policy.family import part_of
from observe_r1.policy.load import load_weights_of, resolve_model
from observe_r1.records import append_rows
from observe_r1.rollout.sampling import stable_seed
from observe_r1.stages.weight_files import compare_shapes, refuse_other_shapes
from observe_r1.train.recorder import METRICS
from observe_r1.train.state import (
    OPTIMIZER,
    TRAINING,
    checkpoint_folder,
    latest_checkpoint,
    point,
)  # fmt: skip

Weights = dict[str, Tensor]


def run_params(
    stage: ParamsStage,
    *,
    model: str,
    others: Mapping[str, str],
    run: Path,
    notify: Callable[[int, dict[str, float]], None] = lambda step, metrics: None,
) -> Path:
    """Change the weights and return the checkpoint; ``others`` says where the models are that an
    operation names."""
    done = latest_checkpoint(run)
    if done is not None:
        return done
    source = resolve_model(model)
    moments = _moments(stage, Path(source))
    for operation in stage.operations:
        if isinstance(operation, Merge):
            known = {name: others[name] for name in named_models(operation)}
            refuse_other_shapes(stage.name, known)
    loaded = load_weights_of(source, dtype="auto")
    before = {name: weight.detach().clone() for name, weight in loaded.named_parameters()}
    for place, operation in enumerate(stage.operations):
        torch.manual_seed(seed_of(stage, place))
        if isinstance(operation, ShrinkPerturb):
            _shrink_perturb(loaded, operation)
        else:
            _merge(loaded, operation, others, stage.name)
    metrics = _record(run, before, dict(loaded.named_parameters()))
    checkpoint = _write(loaded, source, moments, run)
    notify(1, metrics)
    return checkpoint


def seed_of(stage: ParamsStage, place: int) -> int:
    """Dice of an operation's own. Stages of a run share one seed, and noise drawn from that would
    be the weights an earlier stage began with: no fresh ones, but a pull back to the start."""
    return stable_seed(stage.seed, stage.name, place)


def named_models(operation: Merge) -> tuple[str, ...]:
    """Every model that a merge reads."""
    return tuple(dict.fromkeys((operation.base, *operation.models)))


def _copy(model: Any) -> Weights:
    """float32 copies of all weights, tied ones once."""
    return {name: p.detach().float().clone() for name, p in model.named_parameters()}


@torch.no_grad()
def _shrink_perturb(model: Any, operation: ShrinkPerturb) -> None:
    fresh = dict(type(model)(model.config).named_parameters())
    for name, weight in model.named_parameters():
        if part_of(name) in operation.parts:
            noise = fresh[name].to(weight.device).float()
            weight.copy_(operation.shrink * weight.float() + operation.perturb * noise)


@torch.no_grad()
def _merge(model: Any, operation: Merge, others: Mapping[str, str], stage: str) -> None:
    base = _weights_of(others[operation.base])
    learnt = [_weights_of(others[name]) for name in operation.models]
    for name, weights in zip(operation.models, learnt, strict=True):
        _refuse_difference(stage, operation.base, base, name, weights)
    own = dict(model.named_parameters())
    _refuse_difference(stage, operation.base, base, "the weights the stage starts from", own)
    vectors = [{key: w[key] - base[key] for key in base} for w in learnt]
    merged = merge_vectors(vectors, operation)
    for name, weight in own.items():
        weight.copy_(base[name] + merged[name])


def merge_vectors(vectors: Sequence[Weights], operation: Merge) -> Weights:
    """The sum of task vectors: normalised, thinned out and rid of minorities, as asked."""
    from peft.utils.merge_utils import calculate_majority_sign_mask, prune

    factors = operation.weights or (1.0 / len(vectors),) * len(vectors)
    scales = _scales(vectors) if operation.normalise else [1.0] * len(vectors)
    merged = {}
    for name in vectors[0]:
        parts = [scale * vector[name] for scale, vector in zip(scales, vectors, strict=True)]
        if operation.drop:
            parts = [prune(part, 1 - operation.drop, "random", rescale=True) for part in parts]
        stacked = torch.stack(parts)
        if operation.erase:
            stacked = stacked * calculate_majority_sign_mask(stacked, method="total")
        weights = torch.tensor(factors, dtype=stacked.dtype).view(-1, *[1] * (stacked.dim() - 1))
        merged[name] = (weights * stacked).sum(0)
    return merged


def _scales(vectors: Sequence[Weights]) -> list[float]:
    """What brings every vector to the mean of their norms; one that learnt nothing stays."""
    norms = [_norm(vector) for vector in vectors]
    mean = sum(norms) / len(norms)
    return [mean / norm if norm else 1.0 for norm in norms]


def _norm(weights: Mapping[str, Tensor]) -> float:
    return float(sum(t.detach().double().pow(2).sum() for t in weights.values()) ** 0.5)


def _weights_of(model: str) -> Weights:
    return _copy(load_weights_of(resolve_model(model), dtype="auto"))


def _refuse_difference(
    stage: str, one: str, mine: Mapping[str, Tensor], other: str, theirs: Mapping[str, Tensor]
) -> None:
    shapes = ({name: tuple(t.shape) for name, t in weights.items()} for weights in (mine, theirs))
    compare_shapes(stage, one, next(shapes), other, next(shapes))


def _moments(stage: ParamsStage, source: Path) -> Path | None:
    """The optimizer's file that is handed on."""
    if stage.optimizer == "reset":
        return None
    path = source / TRAINING / OPTIMIZER
    if not path.is_file():
        raise ConfigError(
            f"{stage.name}.optimizer is 'keep', but {source} holds no optimizer. Start from a "
            "checkpoint of a run, or set it to 'reset'."
        )
    return path


def _record(
    run: Path, before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> dict[str, float]:
    """How far the weights have moved."""
    squares = ((after[name].detach() - old).double().pow(2).sum() for name, old in before.items())
    metrics = {
        "params/norm_before": _norm(before),
        "params/norm_after": _norm(after),
        "params/moved": float(sum(squares) ** 0.5),
    }
    run.mkdir(parents=True, exist_ok=True)
    (run / METRICS).unlink(missing_ok=True)  # of a try that wrote no checkpoint
    append_rows(run / METRICS, [{"step": 1, **metrics}])
    return metrics


def _write(model: Any, source: str, moments: Path | None, run: Path) -> Path:
    """A checkpoint, whole or not at all."""
    from transformers import AutoProcessor

    folder = checkpoint_folder(run, 0)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    model.save_pretrained(part)
    AutoProcessor.from_pretrained(source).save_pretrained(part)
    if moments is not None:
        (part / TRAINING).mkdir()
        shutil.copy2(moments, part / TRAINING / OPTIMIZER)
    part.rename(folder)
    point(run, "latest", folder)
    return folder
