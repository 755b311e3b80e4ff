"""How long each phase of a step takes on a device.

    generate   encode images once a prompt · prompts once a group · one token a sequence a step
    optimise   old log-probs (several updates), reference (KL) · forward · backward · optimizer
    sync       gradients, weights

Every layer is a handful of matrix products and a number of passes over its activations. The passes
are counted in the code of the models and of this package, not fitted: norms, rotations, the
activation, residuals, and the copies that completions side by side need.
"""

from dataclasses import dataclass
from math import ceil

from observe_r1.config.policy import LONGEST_BUNDLE
from observe_r1.config.rollout import SharedPrefill
from observe_r1.config.stages import RLStage
from observe_r1.recipes.plan.devices import Device, Part
from observe_r1.recipes.plan.shapes import ModelShape, Tower
from observe_r1.recipes.plan.workload import Workload

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

GENERATE: dict[str, Part] = {"encode images": "prompts", "prompts": "prompts", "decode": "decode"}
"""The phases of a rollout, and what of a step they are; all others are the update."""

NORM_PASSES = 5
ROTATION_PASSES = 6
ACTIVATION_PASSES = 2
COPY_PASSES = 3
HEAD_PASSES = 8
SAMPLING_PASSES = 9
OPTIMIZER_PASSES = {"adamw": 9, "sgd": 2}
CLIP_PASSES = 2


@dataclass(frozen=True, slots=True)
class Layout:
    """How a run is spread: over how many processes, on how many machines, whole or sharded."""

    gpus: int = 1
    nodes: int = 1
    sharded: bool = False

    @property
    def crosses_nodes(self) -> bool:
        return self.nodes > 1


class StepClock:
    """Estimates the seconds of a step's phases for the busiest process."""

    def __init__(
        self, device: Device, shape: ModelShape, stage: RLStage, work: Workload, layout: Layout,
        at_once: float | None = None,
    ) -> None:  # fmt: skip
        """``at_once``: completions that decode together; None: what the engine is set to."""
        self.device, self.shape, self.stage, self.work = device, shape, stage, work
        self.layout = layout
        limit = getattr(stage.engine, "max_sequences", None)
        self._at_once = at_once or min(work.sequences, limit or work.sequences)
        self.width = BYTES[stage.policy.dtype]
        self.trains_vision = trains_vision(stage)

    def phases(self) -> dict[str, float]:
        """Seconds by phase, in the order in which they come."""
        generate = {
            "encode images": self._encode(),
            "prompts": self._prefill(),
            "decode": self._decode(),
        }
        optimise = {
            "old log-probs": self._forward_rows(self._old_rows),
            "reference": self._reference(),
            "forward": self._forward_rows(self.work.rows) * (1 + self.stage.policy.recomputed),
            "backward": self._backward(),
            "optimizer": self._optimizer(),
        }
        hidden = self.shape.language.hidden
        found = {
            name: seconds / self.device.share(GENERATE.get(name, "optimise"), hidden)
            for name, seconds in (generate | optimise).items()
        }
        found["communication"] = self._communication()
        return {name: seconds for name, seconds in found.items() if seconds > 0}

    # -- one pass ---------------------------------------------------------------------------------

    def _layers(self, tower: Tower, tokens: float, seen: float, *, starting: float) -> float:
        """Forward through a tower with ``tokens`` side by side."""
        device, rows = self.device, max(1, round(tokens))
        products = sum(device.product(rows, r, c, self.width) for r, c in tower.products)
        wide = tower.query + tower.key
        numbers = (
            2 * NORM_PASSES * tower.hidden + ROTATION_PASSES * wide + 2 * tower.hidden
            + ACTIVATION_PASSES * tower.inner + COPY_PASSES * (wide + tower.key)
        ) * tokens  # fmt: skip
        passes = 2 * NORM_PASSES + 2 * ROTATION_PASSES + 2 + ACTIVATION_PASSES + 3 * COPY_PASSES
        moved = passes * device.move(numbers / passes, self.width)
        attention = device.attention(tokens, tower.query, seen)
        return tower.layers * self._after(starting, products + moved + attention)

    def _after(self, starting: float, computing: float) -> float:
        """A device that overlaps starts kernels while it computes; a processor does both itself."""
        return max(starting, computing) if self.device.overlaps else starting + computing

    def _head(self, tokens: float, passes: int) -> float:
        """Output head and what is read of its distributions."""
        hidden, vocabulary = self.shape.language.hidden, self.shape.vocabulary
        product = self.device.product(max(1, round(tokens)), hidden, vocabulary, self.width)
        return product + passes * self.device.move(tokens * vocabulary, 4)

    def _vision(self, images: float) -> float:
        """Images through the vision tower and the aligner, one after the other."""
        tower, tokens = self.shape.vision, self.work.lengths.image
        if tower is None or not tokens:
            return 0.0
        patches = self.shape.patches(tokens)
        seen = tower.seen(patches) if tower.window else patches
        one = self._layers(tower, patches, seen, starting=self.device.layer_seconds)
        wide = tower.hidden * self.shape.merged**2
        merge = self.device.product(tokens, wide, wide, self.width)
        merge += self.device.product(tokens, wide, self.shape.language.hidden, self.width)
        return images * (one + (1 + self.shape.deepstack) * merge)

    # -- generate ---------------------------------------------------------------------------------

    def _encode(self) -> float:
        return self._vision(self.work.prompts)

    def _prefill(self) -> float:
        prompt = self.work.lengths.prompt
        limit = getattr(self.stage.engine, "prefill_tokens", 16384)
        together = max(1.0, min(limit // max(prompt, 1), self._at_once / self.work.group))
        turns = ceil(self.work.prompts / together)
        tokens = self.work.prompts * prompt / turns
        starting = self.device.layer_seconds
        return turns * self._layers(self.shape.language, tokens, prompt / 2, starting=starting)

    def _decode(self) -> float:
        """A quarter of the finished sequences is still computed before they are dropped."""
        turns = self.work.sequences / self._at_once
        mean, longest = self.work.completion, self.work.longest
        whole = mean - 1  # steps' worth of all sequences computing; the prompt gives the first
        full = self._decode_step(self._at_once)
        few = self._decode_step(max(1.0, self._at_once * mean / max(longest, 1) / 2))
        return turns * (full * whole + few * (longest - mean) / 2)

    def _decode_step(self, live: float) -> float:
        tower, device = self.shape.language, self.device
        seen = self.work.lengths.prompt + self.work.completion / 2
        uses_vllm = self.stage.engine.type in ("vllm", "vllm_server")
        starting = 0.0 if uses_vllm else self._starting_a_layer()
        layers = self._layers(tower, live, seen, starting=starting)
        groups = live / self.work.group
        cached = groups * self.work.lengths.prompt + live * self.work.completion / 2
        reading = tower.layers * device.move(2 * tower.key * cached / 2.5, self.width)
        extra = device.engine_step_seconds if uses_vllm else device.decode_step_seconds
        return layers + reading + self._head(live, SAMPLING_PASSES) + extra

    def _starting_a_layer(self) -> float:
        recorded, engine = self.device.recorded_layer_seconds, self.stage.engine
        one_by_one = isinstance(engine, SharedPrefill) and engine.fixed_shapes is False
        return self.device.decode_layer_seconds if recorded is None or one_by_one else recorded

    # -- optimise ---------------------------------------------------------------------------------

    @property
    def _old_rows(self) -> float:
        """Of several updates, all but the first compare with log-probs from before the first."""
        return self.work.rows * (1 - 1 / self.work.updates)

    def _forward_rows(self, rows: float) -> float:
        """Packed rows, one after the other; images too, unless their features are kept."""
        if not rows:
            return 0.0
        work, starting = self.work, self.device.layer_seconds
        seen = self._seen_in_row()
        row = self._layers(self.shape.language, work.row, seen, starting=starting)
        targets = work.group * work.completion
        return rows * (row + self._head(targets, HEAD_PASSES)) + (
            self._vision(rows) if self.trains_vision else 0.0
        )

    def _seen_in_row(self) -> float:
        """How many tokens one of a row is scored against: half of its completion where the kernel
        leaves out the rest, its whole bundle where it does not (``policy/pieces.py``)."""
        prompt, own = self.work.lengths.prompt, self.work.completion
        beside = own / 2 if self._in_blocks else own * self._in_bundle(prompt, own)
        seen = prompt * prompt / 2 + self.work.group * own * (prompt + beside)
        return seen / max(self.work.row, 1)

    def _in_bundle(self, prompt: int, own: int) -> int:
        """Completions of one bundle."""
        fed = max(1, own - 1)  # nothing follows the last token
        return max(1, min(self.work.group, min(prompt, LONGEST_BUNDLE) // fed))

    @property
    def _in_blocks(self) -> bool:
        wanted = self.stage.policy.attention
        return self.device.overlaps if wanted == "auto" else wanted == "blocks"

    def _reference(self) -> float:
        if not self.stage.loss.kl.coefficient:
            return 0.0
        rows = self.work.prompts  # a KL term needs every group
        return self._forward_rows(rows)

    def _backward(self) -> float:
        """Twice the products; once where no weight but an adapter's is trained."""
        work, device = self.work, self.device
        starting = device.backward_layer_seconds
        factor = 1.0 if self.stage.policy.lora else 2.0
        layers = self._layers(self.shape.language, work.row, self._seen_in_row(), starting=0.0)
        head = self._head(work.group * work.completion, HEAD_PASSES)
        row = self._after(self.shape.language.layers * starting, factor * (layers + head))
        if work.group * work.completion > self.stage.policy.chunk_tokens(self.shape.vocabulary):
            row += head  # chunks are computed again
        vision = 2 * self._vision(1.0) if self.trains_vision else 0.0
        return work.rows * (row + vision)

    def _optimizer(self) -> float:
        trained = trained_parameters(self.shape, self.stage)
        mine = trained / (self.layout.gpus if self.layout.sharded else 1)
        passes = OPTIMIZER_PASSES[self.stage.optimizer.type] + CLIP_PASSES
        return self.work.updates * passes * self.device.change(mine, 4)

    # -- sync -------------------------------------------------------------------------------------

    def _communication(self) -> float:
        """Replicated: gradients once an update. Sharded: weights for every row, forward and
        backward, gradients back, and whole weights to the sampler once a step."""
        if self.layout.gpus == 1:
            return 0.0
        share = (self.layout.gpus - 1) / self.layout.gpus
        trained = trained_parameters(self.shape, self.stage)
        if not self.layout.sharded:
            bytes_ = 2 * share * trained * self.width * self.work.updates
        else:
            whole = share * self.shape.parameters * self.width
            passes = self.work.rows * (3 + self.stage.policy.recomputed) + self._old_rows
            bytes_ = whole * (passes + 1)
        return self.device.send(bytes_, across_nodes=self.layout.crosses_nodes)


def trains_vision(stage: RLStage) -> bool:
    """Whether tower or aligner move, so that pictures are encoded anew for every pass."""
    policy = stage.policy
    return not (policy.lora or (policy.freeze_vision and policy.freeze_aligner))


def trained_parameters(shape: ModelShape, stage: RLStage) -> float:
    """Numbers that the optimizer moves."""
    policy = stage.policy
    if policy.lora is not None:
        names = set(policy.lora.targets)
        tower = shape.language
        by_name = dict(
            zip(
                ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
                tower.products, strict=True,
            )
        )  # fmt: skip
        sides = sum(sum(by_name[name]) for name in names if name in by_name)
        return tower.layers * policy.lora.rank * sides
    parts = {
        "freeze_vision": shape.vision_parameters,
        "freeze_aligner": shape.aligner_parameters,
        "freeze_language": shape.language_parameters,
    }
    return sum(count for name, count in parts.items() if not getattr(policy, name))
