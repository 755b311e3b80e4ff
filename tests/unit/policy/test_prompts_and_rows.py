"""Prompts as the model reads them, and rows made of them."""

import copy
from dataclasses import replace
from io import BytesIO
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from tokenizers.processors import TemplateProcessing

import fakes
from observe_r1.errors import ConfigError, DataError, ModelError
from observe_r1.policy import load, prompts
from observe_r1.policy.family import (
    describe,
    freeze_parts,
    is_frozen,
    parameters_by_part,
    part_of,
)
from observe_r1.policy.lengths import PromptLengths
from observe_r1.policy.load import (
    check_dtype,
    choose_kernel,
    default_device,
    load_policy,
    make_policy,
    resolve_model,
    use_few_threads,
)
from observe_r1.policy.pack import pack_group, split_group
from observe_r1.policy.pieces import bundled, piece_masks
from observe_r1.policy.prompts import (
    EncodedPrompt,
    PromptEncoder,
    can_merge_vision,
    chat_messages,
    image_blocks,
    open_image,
)
from observe_r1.policy.self_check import packing_is_exact
from observe_r1.recipes.machine import Machine


@pytest.fixture(scope="module")
def policy():
    return fakes.tiny_policy()


def test_markers_put_images_in_their_place() -> None:
    sample = fakes.sample(images=2, question="<image>\nleft or <image> right?")
    user = chat_messages(sample, "look")[1]
    assert [part["type"] for part in user["content"]] == ["image", "text", "image", "text"]
    assert chat_messages(fakes.sample(), "")[0]["role"] == "user"


def test_a_wrong_number_of_markers_is_refused() -> None:
    with pytest.raises(DataError, match=r"has 1 image\(s\) but 2 <image> marker\(s\)"):
        chat_messages(fakes.sample(images=1, question="<image> and <image>"), "look")


def test_an_encoded_prompt_has_its_images_expanded_and_positions_after_them(policy) -> None:
    prompt = policy.encode(fakes.sample(images=2), "look")
    assert prompt.blocks_L.max() == 1 and prompt.num_images == 2
    assert (prompt.blocks_L == 0).sum() == 4  # 56 × 56 pixels, patches of 14, merged 2 × 2
    assert prompt.positions.shape == (3, prompt.length)
    assert prompt.next_position == prompt.length - 2 * (4 - 2)  # an image is two positions wide
    assert policy.encode(fakes.sample(images=2), "look") is prompt


def test_a_first_token_that_the_template_writes_is_read_once(policy) -> None:
    """As with Gemma 3, whose tokenizer puts the same token in front of any text."""
    processor = copy.deepcopy(policy.processor)
    first = "<|endoftext|>"
    number = processor.tokenizer.convert_tokens_to_ids(first)
    adds = TemplateProcessing(single=f"{first} $A", special_tokens=[(first, number)])
    processor.tokenizer.backend_tokenizer.post_processor = adds
    processor.tokenizer.bos_token = first

    def ids(template: str) -> list[int]:
        processor.chat_template = template
        encode = PromptEncoder(policy.model, processor, policy.family)
        return encode(fakes.sample(images=1), "look").ids_L.tolist()

    template = processor.chat_template
    written = ids("{{ bos_token }}" + template)
    assert written[0] == number != written[1]
    assert ids(template) == written  # added where the template leaves it to the tokenizer


def test_the_cache_of_prompts_forgets_the_oldest(policy) -> None:
    encode = PromptEncoder(policy.model, policy.processor, policy.family, cache_bytes=1)
    first = encode(fakes.sample(0), "look")
    encode(fakes.sample(1), "look")
    assert encode(fakes.sample(0), "look") is not first


def test_the_prompts_of_a_step_are_kept_whatever_their_size(policy, monkeypatch) -> None:
    encode = PromptEncoder(policy.model, policy.processor, policy.family, cache_bytes=1)
    encode.keep_last(3)
    kept = [encode(fakes.sample(number), "look") for number in range(3)]
    assert all(encode(fakes.sample(n), "look") is kept[n] for n in range(3))
    encode(fakes.sample(3), "look")
    assert encode(fakes.sample(1), "look") is kept[1]
    assert encode(fakes.sample(0), "look") is not kept[0]
    monkeypatch.setattr(prompts, "_memory_share", lambda: 4)
    encode(fakes.sample(4), "look")
    assert encode(fakes.sample(1), "look") is not kept[1], "no more than memory has room for"


def test_a_picture_is_seen_upright_and_on_white() -> None:
    """As servers show it: black lines on nothing are no black square."""
    lines = Image.new("RGBA", (40, 20), (0, 0, 0, 0))
    lines.putpixel((0, 0), (0, 0, 0, 255))
    lines.getexif()[0x0112] = 6  # to be turned clockwise by a quarter
    stored = BytesIO()
    lines.save(stored, format="PNG", exif=lines.getexif())
    seen = open_image(stored.getvalue(), "sketch")
    assert (seen.mode, seen.size) == ("RGB", (20, 40))
    assert seen.getpixel((19, 0)) == (0, 0, 0)
    assert seen.getpixel((0, 0)) == (255, 255, 255)


def test_a_picture_that_cannot_be_opened_is_refused(policy) -> None:
    import dataclasses

    broken = dataclasses.replace(fakes.sample(), images=(b"no picture",))
    with pytest.raises(DataError, match="'sample-0' cannot be opened"):
        policy.encode(broken, "look")


def test_image_tokens_are_numbered_by_image() -> None:
    runs = torch.tensor([0, 0, 1, 1, 0, 1], dtype=torch.bool)
    assert image_blocks(runs).tolist() == [-1, -1, 0, 0, -1, 1]


def test_a_row_leaves_out_the_last_token_of_every_completion(policy) -> None:
    prompt = policy.encode(fakes.sample(images=0), "look")
    row = pack_group(prompt, [(10, 11, 12), (13,), (14, 15)])
    start = prompt.length
    assert row.ids_S[start:].tolist() == [10, 11, 14]
    assert row.branch_S[start:].tolist() == [0, 0, 2]
    assert row.positions[0, start:].tolist() == [start, start + 1, start]
    assert row.predict_N.tolist() == [
        start - 1, start, start + 1, start - 1, start - 1, start + 2,
    ]  # fmt: skip
    assert row.targets_N.tolist() == [10, 11, 12, 13, 14, 15]
    assert row.first_completion().targets_N.tolist() == [10, 11, 12]


def test_a_group_is_cut_where_the_budget_ends() -> None:
    assert list(split_group(10, [5, 5, 5], 19)) == [[0, 1], [2]]
    assert list(split_group(10, [], 19)) == []
    with pytest.raises(ConfigError, match="nothing is truncated silently"):
        list(split_group(10, [5, 50], 19))


def test_a_placeholder_mask_carries_its_layout_and_shows_nothing(policy) -> None:
    prompt = policy.encode(fakes.sample(images=0), "look")
    row = pack_group(prompt, [(10, 11, 12), (13,), (14, 15)])
    mask = piece_masks([row], policy.family, torch.device("cpu"))
    assert not mask.any() and mask.shape[-1] == prompt.length + 3
    layout = mask.attention_layout
    assert (layout.num_bundles, layout.fill.tolist(), layout.back.tolist()) == (
        1, [0, 1, 2], [0, 1, 2],
    )  # fmt: skip


def test_completions_are_bundled_up_to_the_length_of_their_prompt() -> None:
    assert list(bundled([90, 80, 70, 0, 60], 200)) == [[90, 80], [70, 60]]
    assert list(bundled([5, 300, 5], 200)) == [[5], [300], [5]]
    assert list(bundled([0, 0], 200)) == []


@pytest.mark.parametrize("size", [(56, 56), (30, 300), (900, 40), (112, 84)])
def test_no_prompt_is_longer_than_it_is_said_to_be(policy, size) -> None:
    lengths = PromptLengths(policy.processor)
    for images in (0, 1, 3):
        pictures = (fakes.picture(size=size),) * images
        asked = replace(fakes.sample(3, question="wie groß? ∠ABC"), images=pictures)
        most = lengths.at_most(asked, "look")
        assert most is not None
        assert 0 <= most.tokens - policy.encode(asked, "look").length <= 20 * images


def test_a_family_whose_own_count_fails_does_not_say(policy, monkeypatch) -> None:
    lengths = PromptLengths(policy.processor)
    monkeypatch.setattr(lengths, "_count_pictures", lambda image_sizes: {}["num_image_tokens"])
    assert lengths.at_most(fakes.sample(images=1), "look") is None
    assert lengths.at_most(fakes.sample(images=0), "look") is not None


def test_parts_of_a_model_are_told_by_name() -> None:
    assert part_of("model.visual.blocks.0.attn.qkv.weight") == "vision"
    assert part_of("model.visual.merger.mlp.0.weight") == "aligner"
    assert part_of("model.multi_modal_projector.linear_1.weight") == "aligner"
    assert part_of("base_model.model.model.language_model.layers.0.q.lora_A.weight") == "language"
    assert part_of("lm_head.weight") == "language"


def test_what_is_not_of_the_language_model_is_vision_whatever_its_name() -> None:
    """Names that no list knows would else be trained, or not, unasked."""
    policy = fakes.tiny_policy()
    inner = policy.model.model
    inner.sehturm = inner.visual
    del inner.visual
    parts = {part for _, part in parameters_by_part(policy.model)}
    assert parts == {"vision", "aligner", "language"}
    assert not is_frozen(policy.model, "vision")
    freeze_parts(policy.model, vision=True, aligner=False, language=False)
    assert is_frozen(policy.model, "vision") and not is_frozen(policy.model, "aligner", "language")
    inner.sehturm.merger.requires_grad_(True)
    inner.sehturm.bridge = inner.sehturm.merger
    del inner.sehturm.merger
    with pytest.raises(ModelError, match=r"policy\.freeze_aligner is true, but .* has no part"):
        freeze_parts(policy.model, vision=False, aligner=True, language=False)


def test_images_of_unequal_shapes_are_not_one_input() -> None:
    def prompt(*shape: int) -> EncodedPrompt:
        one = torch.zeros(1, dtype=torch.long)
        return EncodedPrompt(
            ids_L=one, positions=one[None], blocks_L=one, vision={"pixel_values": torch.ones(shape)}
        )

    assert can_merge_vision([prompt(1, 3, 56, 56), prompt(2, 3, 56, 56)])
    assert not can_merge_vision([prompt(1, 3, 56, 56), prompt(1, 3, 56, 84)])
    assert can_merge_vision([prompt(1, 4, 3, 56, 56), prompt(1, 1, 3, 56, 56)])
    assert can_merge_vision([prompt(64, 1176), prompt(16, 1176)])


def test_a_family_is_described_by_its_own_model(policy) -> None:
    family = describe(policy.model)
    assert family.has_mrope and family.takes_encoded_images and not family.bidirectional_images
    assert {"pixel_values", "image_grid_thw"} <= family.vision_inputs
    assert len(family.suppressed_ids) == 2 and family.image_token_id in family.suppressed_ids


def test_the_self_check_tells_exact_packing_from_wrong(policy, monkeypatch) -> None:
    prompt = policy.encode(fakes.sample(images=1), "look")
    row = pack_group(prompt, [(10, 11, 12), (14, 15)])
    assert packing_is_exact(policy.packed, row)
    from observe_r1.policy import forward

    wrong = pack_group(prompt, [(10, 11, 12), (14, 15)])
    wrong.positions[:, prompt.length :] += 3
    assert not packing_is_exact(policy.packed, wrong)
    assert forward and policy.packed.separate is False


def test_a_model_without_a_chat_template_is_refused() -> None:
    with pytest.raises(ModelError, match="no chat template"):
        make_policy(
            fakes.tiny_model(), SimpleNamespace(chat_template=None, tokenizer=None),
            fakes.tiny_policy().config, source="x",
        )  # fmt: skip


def test_what_cannot_be_loaded_is_named(tmp_path) -> None:
    with pytest.raises(ModelError, match="cannot be loaded as a vision-language model"):
        load_policy(str(tmp_path))
    assert resolve_model("some/model") == "some/model"


def test_a_precision_the_device_lacks_is_refused() -> None:
    with pytest.raises(ModelError, match=r"policy\.dtype is float16"):
        check_dtype("float16", torch.device("cpu"))


def test_a_small_model_on_a_cpu_is_computed_by_one_thread(monkeypatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    try:
        torch.set_num_threads(2)
        use_few_threads(torch.nn.Linear(2000, 2001), torch.device("cpu"))
        assert torch.get_num_threads() == 2, "not a small one"
        use_few_threads(torch.nn.Linear(2, 2), torch.device("cuda"))
        assert torch.get_num_threads() == 2, "not on a CPU"
        with monkeypatch.context() as said:
            said.setenv("OMP_NUM_THREADS", "2")
            use_few_threads(torch.nn.Linear(2, 2), torch.device("cpu"))
        assert torch.get_num_threads() == 2, "the user has said how many"
        use_few_threads(torch.nn.Linear(2, 2), torch.device("cpu"))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_blocks_are_for_gpus_and_chosen_there(monkeypatch) -> None:
    cpu, gpu, width = torch.device("cpu"), torch.device("cuda"), (128, torch.bfloat16)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties",
        lambda device: SimpleNamespace(shared_memory_per_block_optin=227 * 1024),
    )  # fmt: skip
    found = [choose_kernel("auto", device, *width) for device in (cpu, gpu)]
    assert found == [("pieces", None), ("blocks", None)]
    assert choose_kernel("pieces", gpu, *width) == ("pieces", None)
    with pytest.raises(ModelError, match="no backward pass on a CPU"):
        choose_kernel("blocks", cpu, *width)


def test_long_log_probs_are_read_in_chunks_with_the_same_gradient() -> None:
    found = []
    for chunk in (1024, 3):
        policy = fakes.tiny_policy(logprob_chunk_tokens=chunk)
        prompt = policy.encode(fakes.sample(images=1), "look")
        output = policy.packed([pack_group(prompt, [(10, 11, 12, 13, 14), (15, 16, 17)])], 0.7)
        output.logprobs_N.sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in policy.packed.parameters()])
        found.append((output.logprobs_N, output.entropy_N, gradient))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_gradient_checkpointing_changes_nothing() -> None:
    found = []
    for checkpointing in (False, True):
        policy = fakes.tiny_policy(gradient_checkpointing=checkpointing)
        policy.packed.train(checkpointing)
        prompt = policy.encode(fakes.sample(images=1), "look")
        policy.packed([pack_group(prompt, [(10, 11, 12), (15, 16)])]).logprobs_N.sum().backward()
        found.append(torch.cat([p.grad.flatten() for p in policy.packed.parameters()]))
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_a_gpu_that_pytorch_cannot_use_is_no_reason_to_train_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(load, "detect_machine", lambda: Machine(2, 80.0, "NVIDIA H100"))
    with pytest.raises(ModelError, match=r"2 × NVIDIA H100.*cannot use it.*CUDA_VISIBLE_DEVICES="):
        default_device()
    monkeypatch.setattr(load, "detect_machine", Machine)
    assert default_device() == "cpu"
