"""FlexAttention over many rows equals the attention of each row by itself, for every family.

It has no backward pass on a CPU, so gradients are compared where there is a GPU. It is run
uncompiled here, which is the same arithmetic; one slow test compiles it.
"""

import pytest
import torch
from families import FAMILIES, family_policy, family_prompt

from observe_r1.policy.blocks import bucket, mask_mod
from observe_r1.policy.pack import PackedRow, join_rows, pack_group

COMPLETIONS = ((21, 150, 33, 47, 90, 1), (99, 1, 60), (64,), (25, 26, 27, 28, 29, 30, 31, 32, 33))


def mixed_rows(policy, name: str) -> list[PackedRow]:
    prompts = [family_prompt(policy, name, seed=n, images=n) for n in range(3)]
    return [pack_group(p, COMPLETIONS[:n]) for p, n in zip(prompts, (4, 1, 2), strict=True)]


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("name", FAMILIES)
def test_block_masks_give_the_log_probs_of_pieces(name: str) -> None:
    policy = family_policy(name)
    rows = mixed_rows(policy, name)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        wanted = policy.packed(rows)
        policy.packed.kernel = "blocks"
        found = policy.packed(rows)
    assert found.num_tokens == bucket(wanted.num_tokens) > wanted.num_tokens
    assert torch.allclose(found.logprobs_N, wanted.logprobs_N, atol=1e-5, rtol=0)
    assert torch.allclose(found.entropy_N, wanted.entropy_N, atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler's own
@pytest.mark.parametrize("name", ["qwen2_5_vl", "gemma3"])
def test_the_compiled_kernel_gives_the_same_for_rows_of_any_length(name: str) -> None:
    policy = family_policy(name)
    rows = mixed_rows(policy, name)
    with torch.no_grad():
        for some in (rows, rows[:1], [*rows, *rows]):
            policy.packed.kernel = "pieces"
            wanted = policy.packed(some).logprobs_N
            policy.packed.kernel = "blocks"
            assert torch.allclose(policy.packed(some).logprobs_N, wanted, atol=1e-5, rtol=0)


@pytest.mark.gpu
@pytest.mark.filterwarnings("default")  # the compiler's own
@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_through_block_masks_equal_those_of_pieces(name: str) -> None:
    gradients = []
    for kernel in ("pieces", "blocks"):
        policy = family_policy(name)
        policy.packed.to("cuda")
        policy.packed.kernel = kernel
        policy.packed(mixed_rows(policy, name)).logprobs_N.sum().backward()
        found = [p.grad.flatten() for p in policy.packed.parameters() if p.grad is not None]
        gradients.append(torch.cat(found))
    assert (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[0].norm()


def test_a_token_sees_its_prompt_and_its_own_completion_and_padding_sees_padding() -> None:
    policy = family_policy("llava")
    prompt = family_prompt(policy, "llava", seed=0, images=0)
    rows = [pack_group(prompt, [(21, 22, 23), (24, 25)]), pack_group(prompt, [(26, 27)])]
    joined = join_rows(rows, sum(row.length for row in rows) + 2)
    sees = mask_mod(joined, policy.family, None, torch.device("cpu"))
    index = torch.arange(len(joined.ids_S))
    mask = sees(None, None, index[:, None], index[None])
    length = prompt.length
    first, second = length + 1, length + 2  # last token of either completion in the first row
    assert mask[first].nonzero()[:, 0].tolist() == [*range(length), first - 1, first]
    assert mask[second].nonzero()[:, 0].tolist() == [*range(length), second]
    start = rows[0].length
    assert mask[start + length].nonzero()[:, 0].tolist() == [*range(start, start + length + 1)]
    assert mask[-1].nonzero()[:, 0].tolist() == [len(index) - 2, len(index) - 1]


def test_lengths_fall_into_few_buckets_that_add_little() -> None:
    lengths = range(4097, 16385)
    assert all(n <= bucket(n) <= n * (1 + 1 / 32) + 1 for n in lengths)
    assert len({bucket(n) for n in lengths}) <= 64
    assert all(bucket(n) % 128 == 0 for n in (1, 127, 129, 5000))
