"""Forward and backward of groups of text: our packed rows against PrefixGrouper's grouped forward.

    pip install --no-deps --target DIR prefix-grouper
    PYTHONPATH=DIR python benchmarks/against_prefix_grouper.py [--json]

The same random Qwen2.5-VL of 7.6 million parameters reads the same prompts without pictures, 4 of
them, with 8 completions each, all of one length. PrefixGrouper (MIT, arXiv 2506.05433) is called as
its README says, with Transformers' SDPA attention; its log-probs are read of the logits it hands
back, ours in chunks. With ``--separate`` beside both: every completion in a row of its own, which
takes minutes. All must agree on the log-probs. Runs are interleaved; medians and ranges of wall
time are shown. It is no dependency.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from observe_r1.process import settle_process

settle_process()  # as the command line does

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from step import GROUP, PROMPTS, build_model, processor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from observe_r1.config.policy import PolicyConfig
from observe_r1.policy.load import Policy, make_policy
from observe_r1.policy.pack import PackedRow, pack_group
from observe_r1.policy.prompts import extend
from observe_r1.types import Sample

SIZES = ((512, 64), (1024, 64), (2048, 64), (256, 256))
"""Tokens of a prompt and of a completion."""


def make_rows(policy: Policy, prompt: int, new: int) -> list[PackedRow]:
    """Random tokens behind a short question, up to the length asked for."""
    torch.manual_seed(0)
    start = policy.encode(Sample(id="q", question="?", answer="1", kind="number"), "")
    rows = []
    for _ in range(PROMPTS):
        text = torch.randint(0, 200, (prompt - start.length,)).tolist()
        rows.append(pack_group(extend(start, text), torch.randint(0, 200, (GROUP, new)).tolist()))
    return rows


@cache
def causal(queries: int, keys: int) -> Tensor:
    """Which of the keys, the last ones of which are its own, a query sees."""
    return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)[None, None]


def grouped_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, *, prefix_grouper: Any,
    **settings: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """PrefixGrouper's two attention calls, as ordinary SDPA: nothing is padded, so its own masks,
    which are made for kernels that mask the future themselves, say nothing more."""

    def attend(q: Tensor, k: Tensor, v: Tensor, _: Any) -> Tensor:
        visible = None if q.shape[2] == k.shape[2] else causal(q.shape[2], k.shape[2])
        return sdpa_attention_forward(module, q, k, v, visible, **settings)[0]

    return prefix_grouper.forward(attend, query, key, value), None


AttentionInterface.register("grouped_sdpa", grouped_attention)


def theirs(model: Any, rows: list[PackedRow]) -> Tensor:
    """[N] log-probs, rows and completions in their order."""
    from prefix_grouper import PrefixGrouper

    prompts = torch.stack([row.prompt.ids_L for row in rows])
    completions = torch.cat([row.targets_N.view(GROUP, -1) for row in rows])
    ones = [torch.ones_like(prompts), torch.ones_like(completions)]
    grouper = PrefixGrouper.from_ungrouped_masks(*ones, group_sizes=GROUP, padding_mode="right")
    ids = grouper.concat_input(prompts, ones[0], completions, ones[1])
    length, new = prompts.shape[1], completions.shape[1]
    places = torch.cat([torch.arange(length), (length + torch.arange(new)).repeat(GROUP)])
    placeholder = torch.zeros(1, 1, 1, 1, dtype=torch.bool).expand(1, 1, *[ids.shape[1]] * 2)
    hidden = model.model.language_model(
        input_ids=ids, attention_mask=placeholder, use_cache=False, prefix_grouper=grouper,
        position_ids=places.expand(3, len(ids), -1),
    ).last_hidden_state  # fmt: skip
    logits = grouper.split_output(model.lm_head(hidden), include_prefix_last=1)[2][:, :-1]
    chosen = logits.gather(-1, completions[..., None])[..., 0]
    return (chosen - logits.logsumexp(-1)).flatten()


def measure(prompt: int, new: int, repeats: int, *, separate: bool) -> dict[str, Any]:
    policy = make_policy(build_model(), processor(), PolicyConfig(), source="benchmark")
    other = build_model()
    other.model.language_model.config._attn_implementation = "grouped_sdpa"
    other.config.text_config._attn_implementation = "grouped_sdpa"
    hidden = policy.family.suppressed_ids
    rows = make_rows(policy, prompt, new)

    def packed() -> Tensor:
        return policy.packed(rows).logprobs_N

    def apart() -> Tensor:
        policy.packed.separate = True
        try:
            return policy.packed(rows).logprobs_N
        finally:
            policy.packed.separate = False

    ways: dict[str, Callable[[], Tensor]] = {
        "packed": packed, "prefix-grouper": lambda: theirs(other, rows),
    }  # fmt: skip
    if separate:
        ways["separate"] = apart
    with torch.no_grad():
        # Ours leaves out the ids that are never sampled; of a random model their share is small.
        off = float((ways["packed"]() - ways["prefix-grouper"]()).abs().max())
        assert off < 2 * len(hidden) / 200, off
        assert not separate or torch.allclose(packed(), apart(), atol=1e-4)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way().sum().backward()
            if number:
                seconds[name].append(time.perf_counter() - started)
    found: dict[str, Any] = {"prompt": prompt, "new": new, "largest difference": off}
    for name, times in seconds.items():
        found[name] = statistics.median(times)
        found[f"{name}, range"] = [min(times), max(times)]
    found["prefix-grouper / packed"] = found["prefix-grouper"] / found["packed"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--separate", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("prompt  new   packed s  prefix-grouper s  separate s  ratio")
    results = []
    for prompt, new in SIZES:
        r = measure(prompt, new, arguments.repeats, separate=arguments.separate)
        results.append(r)
        print(f"{prompt:6d} {new:4d} {r['packed']:10.3f} {r['prefix-grouper']:17.3f} "
              f"{r.get('separate', float('nan')):11.3f} {r['prefix-grouper / packed']:6.2f}",
              flush=True)  # fmt: skip
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
