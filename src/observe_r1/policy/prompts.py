"""A sample → what the model reads: token ids, positions, pixels. Done once a prompt, then kept.

The same prompt is seen by the rollout, by old and reference log-probs and by the update; processing
its pictures costs more than a tiny model's forward pass, so the last ones stay in a cache. What is
kept of encoded pictures hangs on it (``vision.py``).
"""

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from observe_r1.errors import DataError, ModelError
from observe_r1.policy.family import Family, inner_model
from observe_r1.recipes.machine import processes_here
from observe_r1.text import format_question
from observe_r1.text.template import open_no_section
from observe_r1.types import Sample

IMAGE_MARKER = "<image>"


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True, eq=False)
class EncodedPrompt:
    """One prompt as the model reads it.

    Example (two words, an image of four tokens, one word; M-RoPE):
        ids_L        [12, 40,  5,  5,  5,  5, 77]
        positions    [[0, 1, 2, 2, 2, 2, 4], [0, 1, 2, 2, 3, 3, 4], [0, 1, 2, 3, 2, 3, 4]]
        blocks_L     [-1, -1, 0, 0, 0, 0, -1]
    """

    ids_L: Tensor
    """[L] with image pads expanded."""
    positions: Tensor
    """[3, L] with M-RoPE, else [1, L]."""
    blocks_L: Tensor
    """[L] which image a token belongs to, -1 for text."""
    vision: Mapping[str, Tensor]
    """What the model's forward takes for the images; empty without images."""

    @property
    def length(self) -> int:
        return len(self.ids_L)

    @property
    def num_images(self) -> int:
        return int(self.blocks_L.max()) + 1

    @property
    def num_visual(self) -> int:
        """Tokens of images."""
        return int((self.blocks_L >= 0).sum())

    @property
    def next_position(self) -> int:
        """Where every completion begins: one past the largest position of the prompt."""
        return int(self.positions.max()) + 1

    @property
    def num_bytes(self) -> int:
        tensors = [self.ids_L, self.positions, self.blocks_L, *self.vision.values()]
        return sum(t.numel() * t.element_size() for t in tensors)


def extend(prompt: EncodedPrompt, token_ids: Sequence[int]) -> EncodedPrompt:
    """The prompt and what has been written after it: where a continuation begins."""
    new = torch.tensor(token_ids, dtype=torch.long)
    positions = prompt.next_position + torch.arange(len(new))
    return EncodedPrompt(
        ids_L=torch.cat([prompt.ids_L, new]),
        positions=torch.cat([prompt.positions, positions.expand(len(prompt.positions), -1)], -1),
        blocks_L=torch.cat([prompt.blocks_L, torch.full_like(new, -1)]),
        vision=prompt.vision,
    )


def chat_messages(sample: Sample, system_prompt: str) -> list[dict[str, Any]]:
    """``[system][user: images and question]``; ``<image>`` markers put the images in their
    place."""
    question = format_question(sample)
    pieces = question.split(IMAGE_MARKER)
    num_markers = len(pieces) - 1
    if num_markers and num_markers != len(sample.images):
        raise DataError(
            f"Sample '{sample.id}' has {len(sample.images)} image(s) but {num_markers} "
            f"{IMAGE_MARKER} marker(s) in its question. Give one marker an image, or none to put "
            "all images first."
        )
    content: list[dict[str, Any]] = (
        [] if num_markers else [{"type": "image"} for _ in sample.images]
    )
    for number, piece in enumerate(pieces):
        if number:
            content.append({"type": "image"})
        if piece.strip():
            content.append({"type": "text", "text": piece.strip("\n") if num_markers else piece})
    system = [{"type": "text", "text": system_prompt}]
    messages: list[dict[str, Any]] = (
        [{"role": "system", "content": system}] if system_prompt else []
    )
    return [*messages, {"role": "user", "content": content}]


class PromptEncoder:
    """Encodes prompts and keeps the last ones, up to ``cache_bytes``; those of a step, which both
    rollout and update read, beyond that (``keep_last``)."""

    def __init__(
        self, model: Any, processor: Any, family: Family, *, cache_bytes: int = 256 * 2**20
    ) -> None:
        if getattr(processor, "chat_template", None) is None:
            raise ModelError(
                "The model's processor has no chat template, so prompts cannot be rendered as it "
                "was taught. Choose an instruction-tuned model, or add chat_template.jinja to it."
            )
        self.opened = open_no_section(processor)
        """The section that the model's own chat template opens, and the one used here does not."""
        self.model = model
        self.processor = processor
        self.family = family
        self.cache_bytes = cache_bytes
        self._kept: OrderedDict[tuple[Any, ...], EncodedPrompt] = OrderedDict()
        self._kept_bytes = 0
        self._num_wanted = 1
        self._lock = Lock()  # tokenizers refuse two threads; rollouts drawn ahead have their own

    def keep_last(self, num_prompts: int) -> None:
        """Keep so many as far as a quarter of this process's share of the memory holds them: a
        picture of 1,024 tokens is 19 MB, and to process it again costs more than to keep it."""
        self._num_wanted = num_prompts

    def __call__(self, sample: Sample, system_prompt: str) -> EncodedPrompt:
        with self._lock:
            return self._find(sample, system_prompt)

    def _find(self, sample: Sample, system_prompt: str) -> EncodedPrompt:
        key = (system_prompt, sample.question, sample.options, sample.images)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        prompt = self._encode(sample, system_prompt)
        self._kept[key] = prompt
        self._kept_bytes += prompt.num_bytes
        while self._holds_too_much():
            self._kept_bytes -= self._kept.popitem(last=False)[1].num_bytes
        return prompt

    def _holds_too_much(self) -> bool:
        if self._kept_bytes <= self.cache_bytes or len(self._kept) == 1:
            return False
        return len(self._kept) > self._num_wanted or self._kept_bytes > _memory_share() // 4

    def render(self, sample: Sample, system_prompt: str) -> tuple[str, list[Any]]:
        """The prompt as text, image pads not yet expanded, and its decoded pictures."""
        text = self.processor.apply_chat_template(
            chat_messages(sample, system_prompt), add_generation_prompt=True, tokenize=False
        )
        images = [open_image(data, sample.id) for data in sample.images]
        if images and self.family.image_token_id is None:
            raise ModelError(
                f"Sample '{sample.id}' has images, but the model takes none. Choose a "
                "vision-language model or data without images."
            )
        return text, images

    def _encode(self, sample: Sample, system_prompt: str) -> EncodedPrompt:
        text, images = self.render(sample, system_prompt)
        # Where the template has written the first token, the tokenizer must not add another.
        once = {"add_special_tokens": False} if self.begins_itself(text) else {}
        prepared = self.processor(text=[text], images=images or None, return_tensors="pt", **once)
        return self.from_inputs(dict(prepared))

    def begins_itself(self, text: str) -> bool:
        """Whether a rendered prompt begins with the token that tokenizers put first (Gemma 3)."""
        return bool(self.first_token) and text.startswith(self.first_token)

    @property
    def first_token(self) -> str:
        tokenizer = getattr(self.processor, "tokenizer", self.processor)
        return getattr(tokenizer, "bos_token", None) or ""

    def from_inputs(self, prepared: Mapping[str, Any]) -> EncodedPrompt:
        """From what a processor returns for one prompt."""
        ids_L = prepared["input_ids"][0]
        vision = {
            k: v.to(self.model.dtype) if v.is_floating_point() else v  # as towers read them
            for k, v in prepared.items()
            if k in self.family.vision_inputs
        }
        if "pixel_values" not in vision:
            vision = {}
        is_image = ids_L == self.family.image_token_id
        return EncodedPrompt(
            ids_L=ids_L,
            positions=self._positions(ids_L, is_image, vision),
            blocks_L=image_blocks(is_image),
            vision=vision,
        )

    def _positions(self, ids_L: Tensor, is_image: Tensor, vision: Mapping[str, Tensor]) -> Tensor:
        plain = torch.arange(len(ids_L))[None]
        if not self.family.has_mrope:
            return plain
        if not vision:
            return plain.expand(3, -1)
        positions, _ = inner_model(self.model).get_rope_index(
            ids_L[None], mm_token_type_ids=is_image.int()[None],
            image_grid_thw=vision["image_grid_thw"],
        )  # fmt: skip
        return positions[:, 0]


@cache
def _memory_share() -> int:
    """Bytes of this machine's memory, or of what a job may have of it, for each of the run's
    processes here."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not every system says
        total = 16 * 2**30
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        file = Path("/sys/fs/cgroup") / limit
        if file.is_file() and (said := file.read_text().strip()).isdigit():
            total = min(total, int(said))
    return total // processes_here()


def image_blocks(is_image: Tensor) -> Tensor:
    """Number the runs of image tokens: [F F T T F T] → [-1 -1 0 0 -1 1]."""
    starts = is_image & ~torch.cat([is_image.new_zeros(1), is_image[:-1]])
    return torch.where(is_image, starts.cumsum(0) - 1, -1)


def open_image(data: bytes, sample_id: str) -> Any:
    """Decode one picture; PIL is imported late because only images need it."""
    from PIL import Image, UnidentifiedImageError

    from observe_r1.pictures import as_seen

    try:
        return as_seen(Image.open(BytesIO(data)))
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"An image of sample '{sample_id}' cannot be opened: {error}.") from None


def merge_vision(prompts: list[EncodedPrompt]) -> dict[str, Tensor]:
    """The images of several prompts as one input, in the prompts' order.

    Flat layouts (patches, or one row an image) are joined on the first axis; Idefics-like ones
    (``[1, images, …]``) on the second.
    """
    with_images = [p.vision for p in prompts if p.vision]
    if not with_images:
        return {}
    axis = _axis(with_images[0])
    return {k: torch.cat([v[k] for v in with_images], axis) for k in with_images[0]}


def can_merge_vision(prompts: Sequence[EncodedPrompt]) -> bool:
    """Whether their images have the same height and width where these are axes of the input."""
    first = prompts[0].vision
    axis = _axis(first)

    def shapes(vision: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        return {k: (*v.shape[:axis], *v.shape[axis + 1 :]) for k, v in vision.items()}

    return all(shapes(prompt.vision) == shapes(first) for prompt in prompts[1:])


def _axis(vision: Mapping[str, Tensor]) -> int:
    """Along which images lie behind one another."""
    return int(vision["pixel_values"].dim() == 5)
