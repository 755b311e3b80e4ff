"""What a GPU must hold, part by part, in GB (10⁹ bytes).

    always      weights · gradients · float32 copies and moments · reference · what sampling needs
    in turns    rollout: keys and values, vLLM's own      update: activations, logits

The larger of the turns counts.
"""

from dataclasses import dataclass

from observe_r1.config.rollout import SHARE_FOR_COMPLETIONS
from observe_r1.config.stages import RLStage
from observe_r1.recipes.plan.seconds import BYTES, Layout, trained_parameters, trains_vision
from observe_r1.recipes.plan.shapes import ModelShape, Tower
from observe_r1.recipes.plan.workload import Workload

MOMENTS = {"adamw": 2, "sgd": 0}
LOGIT_COPIES = 4
"""Float32 arrays as large as a chunk's logits that exist together."""
SLACK = 1.06
"""Holes that an allocator leaves."""
CONTEXT_GB = 1.2
"""CUDA, NCCL and compiled kernels."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Parts by name; those of ``rollout`` and ``update`` take turns."""

    always: dict[str, float]
    rollout: dict[str, float]
    update: dict[str, float]
    at_once: int
    """Completions that the built-in engine decodes together."""

    @property
    def total(self) -> float:
        turns = max(sum(self.rollout.values()), sum(self.update.values()))
        return sum(self.always.values()) + turns

    @property
    def parts(self) -> dict[str, float]:
        """Everything that is not nothing, in order."""
        found = {**self.always, **self.rollout, **self.update}
        return {name: gb for name, gb in found.items() if gb >= 5e-4}


def memory_of(
    shape: ModelShape, stage: RLStage, work: Workload, layout: Layout, device_gb: float,
    process_gb: float | None = None, *, is_gpu: bool = False,
) -> Memory:  # fmt: skip
    """The memory of one process; ``process_gb`` is that of a process without a model. On a GPU the
    built-in engine decodes no more completions at once than there is room for."""
    width = BYTES[stage.policy.dtype]
    parts = layout.gpus if layout.sharded else 1
    trained = trained_parameters(shape, stage)
    whole = shape.parameters * width / 1e9
    copied = width == 2  # half-precision weights are moved as float32 copies
    samples_here = stage.engine.type not in ("vllm", "vllm_server")
    moments = trained * 4 * (MOMENTS[stage.optimizer.type] + copied) / parts / 1e9
    always = {
        "weights": whole / parts,
        "gradients": trained * (4 if copied else width) / parts / 1e9,
        "optimizer": moments,
        "reference": whole if stage.loss.kl.coefficient and not stage.policy.lora else 0.0,
        "sampler's weights": whole if layout.sharded and samples_here else 0.0,
        "encoded pictures": _pictures_gb(shape, stage, work, width),
        "libraries": CONTEXT_GB if process_gb is None else process_gb,
    }
    room = device_gb - sum(always.values()) if is_gpu else None
    at_once = _at_once(shape, stage, work, width, room)
    rollout = {"vLLM": stage.engine.memory_share * device_gb} if stage.engine.type == "vllm" else {
        "keys and values": SLACK * _cache_gb(shape, stage, work, width, at_once)
    }  # fmt: skip
    update = {
        "activations": SLACK * _activations_gb(shape, stage, work, width),
        "logits": _logits_gb(shape, stage, work),
        "gathered layers": _gathered_gb(shape, width) if layout.sharded else 0.0,
    }
    return Memory(always, rollout, update, at_once)


def _at_once(
    shape: ModelShape, stage: RLStage, work: Workload, width: int, room_gb: float | None
) -> int:
    """At least one group, and of the rest as many as have room at their longest."""
    live = int(min(work.sequences, getattr(stage.engine, "max_sequences", work.sequences)))
    if room_gb is None or stage.engine.type != "shared_prefill":
        return live
    each = stage.sampling.max_new_tokens * _token_gb(shape, width)
    return min(live, max(work.group, int(SHARE_FOR_COMPLETIONS * room_gb / each)))


def _cache_gb(shape: ModelShape, stage: RLStage, work: Workload, width: int, at_once: int) -> float:
    """Prompts once a group, and room for every completion at its longest."""
    prompts = at_once / work.group * work.lengths.prompt
    return (prompts + at_once * stage.sampling.max_new_tokens) * _token_gb(shape, width)


def _pictures_gb(shape: ModelShape, stage: RLStage, work: Workload, width: int) -> float:
    """Kept from a step's rollout to its update while neither tower nor aligner is trained."""
    if shape.vision is None or trains_vision(stage):
        return 0.0
    layers = 1 + shape.deepstack
    return work.prompts * work.lengths.image * shape.language.hidden * layers * width / 1e9


def _token_gb(shape: ModelShape, width: int) -> float:
    """Keys and values of one token."""
    return 2 * shape.language.key * shape.language.layers * width / 1e9


def tokens_kept(stage: RLStage, work: Workload) -> tuple[float, float]:
    """Tokens and rows whose activations exist together: a micro-batch, at least one row."""
    budget = stage.policy.max_tokens_per_microbatch
    of_update = max(1.0, work.rows / work.updates)
    rows = min(of_update, max(1, budget // max(work.row, 1)))
    return rows * min(work.row, budget), rows


def _activations_gb(shape: ModelShape, stage: RLStage, work: Workload, width: int) -> float:
    tokens, rows = tokens_kept(stage, work)
    numbers = tokens * _kept_per_token(shape.language, stage.policy.recomputed)
    if shape.vision is not None and trains_vision(stage):
        each = _kept_per_token(shape.vision, stage.policy.recomputed)
        numbers += rows * shape.patches(work.lengths.image) * each
    return numbers * width / 1e9


def _kept_per_token(tower: Tower, recomputed: float) -> float:
    """Numbers: the inputs of layers that are computed again, one of them at a time in full, and all
    of the others."""
    again = tower.layers * recomputed
    one = min(again, 1.0)
    return again * tower.hidden + (one + tower.layers - again) * tower.kept_per_token


def _logits_gb(shape: ModelShape, stage: RLStage, work: Workload) -> float:
    tokens, rows = tokens_kept(stage, work)
    targets = min(tokens, rows * work.group * work.completion)
    chunk = min(targets, stage.policy.chunk_tokens(shape.vocabulary))
    return chunk * shape.vocabulary * 4 * LOGIT_COPIES / 1e9


def _gathered_gb(shape: ModelShape, width: int) -> float:
    """Two layers at a time, and the unit that holds embeddings, vision tower and head."""
    tower = shape.language
    root = shape.parameters - tower.layers * tower.weights_per_layer
    return (root + 2 * tower.weights_per_layer) * width * 2 / 1e9
