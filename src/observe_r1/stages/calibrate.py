"""Small measurements of this machine, a few seconds in all, for ``observe-r1 plan --gpu measured``.

products     square matrices of several sizes times few and many rows
moves        adding arrays of several sizes
attention    scaled dot-product attention over a few hundred tokens
layers       what starting a layer costs: the built-in model at two depths, forward, backward and
             while it decodes a single sequence, and what a step of that costs besides
changes      adding to an array where it lies
shares       parts of a step of the built-in model, and of a random one three times as wide, against
             what the above adds up to for them
"""

import copy
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import Sampling
from observe_r1.config.stages import RLStage
from observe_r1.data.puzzles import make_sample
from observe_r1.policy.family import language_model
from observe_r1.policy.load import Policy, load_policy, make_policy
from observe_r1.policy.pack import pack_group
from observe_r1.recipes.plan.devices import Measured, Part
from observe_r1.recipes.plan.seconds import GENERATE, Layout, StepClock
from observe_r1.recipes.plan.shapes import shape_of
from observe_r1.recipes.plan.workload import Lengths, workload_of
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.train.memory import host_bytes
from observe_r1.train.optimise import Optimiser
from observe_r1.types import RolloutGroup, Sample, Score, ScoredGroup, WeightedGroup

ROWS = (1, 4, 16, 64, 256, 1024)
SIDES = (64, 160, 400, 1000)
CHANGED = 10_000_000
NUMBERS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
WIDE = {
    "text_config": {"hidden_size": 512, "intermediate_size": 1408, "num_attention_heads": 8,
                    "num_key_value_heads": 4, "num_hidden_layers": 4, "vocab_size": 8192},
    "vision_config": {"hidden_size": 256, "intermediate_size": 688, "num_heads": 4,
                      "out_hidden_size": 512},
}  # fmt: skip
"""How the wider model differs from the built-in one: the proportions of the models people train."""
PIXELS = 336 * 336
"""Of the pictures that the wider model sees, 144 tokens each."""
ATTENTION = {"heads": 4, "length": 256, "width": 64}
DECODED = 24
STEP = {
    "prompts_per_step": 4, "group_size": 8, "sampling": {"max_new_tokens": DECODED},
    "optimizer": {"lr": 0.0},
}  # fmt: skip
"""Trains nothing: what is measured has no learning rate."""

Clock = Callable[[], float]


def calibrate(clock: Clock = time.perf_counter) -> Measured:
    """Measure with as many threads as torch is set to use.

    ``time.process_time`` as the clock counts processor seconds: with one thread that is what a
    quiet machine takes, also on a busy one.
    """
    process_gb = host_bytes() / 1e9
    policy = replace(load_policy("tiny"), end_ids=())
    forward, backward, decode, step = _layer_seconds(policy, clock)
    device = Measured(
        memory_gb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        threads=torch.get_num_threads(),
        rows=ROWS,
        sides=SIDES,
        products=tuple(tuple(_product(rows, side, clock) for side in SIDES) for rows in ROWS),
        numbers=NUMBERS,
        moves=tuple(_move(count, clock) for count in NUMBERS),
        change_seconds=_change(clock),
        attention_flops=_attention(clock),
        layer_seconds=forward,
        backward_layer_seconds=backward,
        decode_layer_seconds=decode,
        decode_step_seconds=step,
        process_gb=process_gb,
    )
    return device.model_copy(update=_shares(device, [policy, _wider(policy)], clock))


def fastest(work: Callable[[], object], clock: Clock, *, at_least: float = 0.02) -> float:
    """Seconds of one call: the least of five rounds, each long enough for the clock."""
    work()
    calls, took = 1, 0.0
    while True:
        started = clock()
        for _ in range(calls):
            work()
        took = clock() - started
        if took >= at_least:
            break
        calls = max(2 * calls, int(calls * at_least / max(took, 1e-6)))
    found = [took / calls]
    for _ in range(4):
        started = clock()
        for _ in range(calls):
            work()
        found.append((clock() - started) / calls)
    return min(found)


@torch.no_grad()
def _product(rows: int, side: int, clock: Clock) -> float:
    left, right = torch.randn(rows, side), torch.randn(side, side)
    return fastest(lambda: torch.nn.functional.linear(left, right), clock, at_least=0.01)


@torch.no_grad()
def _move(count: int, clock: Clock) -> float:
    left, right = torch.randn(count), torch.randn(count)
    return fastest(lambda: left + right, clock, at_least=0.01)


@torch.no_grad()
def _change(clock: Clock) -> float:
    left, right = torch.randn(CHANGED), torch.randn(CHANGED)
    return fastest(lambda: left.add_(right), clock, at_least=0.01) / CHANGED


@torch.no_grad()
def _attention(clock: Clock) -> float:
    heads, length, width = ATTENTION["heads"], ATTENTION["length"], ATTENTION["width"]
    query, key, value = (torch.randn(1, heads, length, width) for _ in range(3))
    attend = torch.nn.functional.scaled_dot_product_attention
    seconds = fastest(lambda: attend(query, key, value), clock)
    return 4 * heads * length * length * width / seconds


def _layer_seconds(policy: Policy, clock: Clock) -> tuple[float, float, float, float]:
    """Forward, backward, and one step of decoding, of one layer with hardly anything to compute;
    and a step without layers."""
    deep = len(language_model(policy.model).layers)
    shallow, whole = (_pass_seconds(policy, depth, clock) for depth in (1, deep))
    ahead, both, decode = (
        max(0.0, (high - low) / (deep - 1)) for low, high in zip(shallow, whole, strict=True)
    )
    return ahead, max(0.0, both - ahead), decode, max(0.0, shallow[2] - decode)


def _pass_seconds(policy: Policy, depth: int, clock: Clock) -> tuple[float, float, float]:
    model = language_model(policy.model)
    layers, config = model.layers, policy.model.config.get_text_config()
    model.layers, config.num_hidden_layers = layers[:depth], depth
    try:
        sample = Sample(id="s", question="?", answer="1", kind="number")
        row = pack_group(policy.encode(sample, ""), [(1, 2)])
        engine, sampling = SharedPrefillEngine(policy), Sampling(max_new_tokens=DECODED)

        def forward() -> torch.Tensor:
            return policy.packed([row]).logprobs_N.sum()

        def decode() -> None:
            engine.generate([sample], group_size=1, sampling=sampling, system_prompt="", seed=0)

        ahead = fastest(forward, clock)
        both = fastest(lambda: forward().backward(), clock)
        return ahead, both, fastest(decode, clock) / DECODED
    finally:
        policy.packed.zero_grad(set_to_none=True)
        model.layers, config.num_hidden_layers = layers, len(layers)


def _wider(policy: Policy) -> Policy:
    """The built-in model with ``WIDE`` sizes, random weights and larger pictures."""
    config = copy.deepcopy(policy.model.config)
    for part, sizes in WIDE.items():
        for name, size in sizes.items():
            setattr(getattr(config, part), name, size)
    text = config.text_config
    text.layer_types = text.layer_types[:1] * text.num_hidden_layers
    half = text.hidden_size // text.num_attention_heads // 2
    third = half // 3
    text.rope_parameters["mrope_section"] = [half - 2 * third, third, third]
    model = type(policy.model)(config).float()
    model.generation_config = policy.model.generation_config
    processor = copy.deepcopy(policy.processor)
    processor.image_processor.size = {"shortest_edge": PIXELS, "longest_edge": PIXELS}
    wider = make_policy(model, processor, PolicyConfig(dtype="float32"), source="random")
    return replace(wider, end_ids=())


def _shares(device: Measured, policies: Sequence[Policy], clock: Clock) -> dict[str, Any]:
    """Estimated over measured seconds of the parts of a step, a model each."""
    found = [_shares_of(device, policy, clock) for policy in policies]
    return {
        "widths": tuple(policy.model.config.get_text_config().hidden_size for policy in policies),
        "shares": {part: tuple(shares[part] for shares in found) for part in found[0]},
    }


def _shares_of(device: Measured, policy: Policy, clock: Clock) -> dict[Part, float]:
    """Of one model. Prompts alone are a rollout of one token, which needs no step of decoding."""
    stage = RLStage.build(STEP, "the measured step")
    samples = [make_sample("counting", 0, index, 0) for index in range(stage.prompts_per_step)]
    prompts = [policy.encode(sample, "") for sample in samples]
    engine = SharedPrefillEngine(policy)
    optimiser = Optimiser(
        policy, loss=stage.loss, optimizer=stage.optimizer, sampling=stage.sampling,
        system_prompt="", total_updates=1000,
    )  # fmt: skip

    def generate(tokens: int, number: int) -> list[RolloutGroup]:
        return engine.generate(
            samples, group_size=stage.group_size, sampling=Sampling(max_new_tokens=tokens),
            system_prompt="", seed=number,
        )  # fmt: skip

    def parts(number: int) -> tuple[float, float, float]:
        started = clock()
        generate(1, number)
        prompted = clock()
        groups = generate(DECODED, number)
        generated = clock()
        optimiser.update([_half_right(group) for group in groups])
        return prompted - started, generated - prompted, clock() - generated

    parts(0)
    measured = zip(*map(parts, range(1, 6)), strict=True)
    prompted, drawn, trained = (statistics.median(found) for found in measured)
    image = statistics.mean(int((prompt.blocks_L >= 0).sum()) for prompt in prompts)
    lengths = Lengths(
        text=round(statistics.mean(prompt.length for prompt in prompts) - image),
        image=round(image), completion=DECODED, longest=DECODED,
    )  # fmt: skip
    work = workload_of(stage, 1, lengths, 1.0)
    shape = shape_of("measured", policy.model.config.to_dict())
    phases = StepClock(device, shape, stage, work, Layout()).phases()
    counted: dict[Part, float] = {"prompts": 0.0, "decode": 0.0, "optimise": 0.0}
    for name, seconds in phases.items():
        counted[GENERATE.get(name, "optimise")] += seconds
    return {
        "prompts": counted["prompts"] / prompted,
        "decode": counted["decode"] / (drawn - prompted),
        "optimise": counted["optimise"] / trained,
    }


def _half_right(group: RolloutGroup) -> WeightedGroup:
    values = [1.0 if number % 2 else -1.0 for number in range(group.num_completions)]
    scores = tuple(Score(rewards={}, reward=v, correct=v > 0, well_formed=True) for v in values)
    return WeightedGroup(
        scored=ScoredGroup(rollout=group, scores_G=scores), advantages_G=tuple(values), weight=1.0,
        admitted=True, completion_weights_G=(1.0,) * len(values),
    )  # fmt: skip
