"""Encoded images, kept while neither vision tower nor aligner is trained.

Frozen, an image's features never change: they are computed once and handed to the rollout, the
log-probs, the reference and the update (``mm_encoder_outputs``). When either part is trained, every
pass encodes anew, once a group.
"""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from observe_r1.policy.family import Family, inner_model, is_frozen
from observe_r1.policy.prompts import EncodedPrompt, merge_vision

FIELDS = ("pooler_output", "deepstack_features")
"""What models read of encoded images."""


class VisionInputs:
    """What a forward pass gets for the images of some prompts: pixels, or features that were
    kept."""

    def __init__(self, model: nn.Module, family: Family) -> None:
        self.model = model
        self.family = family
        self.num_encoded = 0
        """Images that went through the vision tower so far."""
        self.keeps_features = family.takes_encoded_images and is_frozen(model, "vision", "aligner")
        """Decided once: what is trained does not change while a model is loaded."""
        self._kept: WeakKeyDictionary[EncodedPrompt, Any] = WeakKeyDictionary()

    def __call__(self, prompts: Sequence[EncodedPrompt], device: torch.device) -> dict[str, Any]:
        """Keyword arguments of the model's forward; empty without images."""
        with_images = [prompt for prompt in prompts if prompt.vision]
        if not with_images:
            return {}
        if not self.keeps_features:
            self.num_encoded += sum(prompt.num_images for prompt in with_images)
            return {k: v.to(device) for k, v in merge_vision(with_images).items()}
        return {"mm_encoder_outputs": {"image": merge_features(
            [self._features(prompt, device) for prompt in with_images]
        )}}  # fmt: skip

    def _features(self, prompt: EncodedPrompt, device: torch.device) -> Any:
        if prompt not in self._kept:
            pixels = {k: v.to(device) for k, v in prompt.vision.items()}
            with torch.no_grad():
                encoded = inner_model(self.model).get_image_features(**pixels, return_dict=True)
            self._kept[prompt] = _without_the_rest(encoded)
            self.num_encoded += prompt.num_images
        return self._kept[prompt]


def _without_the_rest(encoded: Any) -> Any:
    """Only what is read: the tower's own states are several times as large."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    kept = BaseModelOutputWithPooling()
    for name in FIELDS:
        if (value := getattr(encoded, name, None)) is not None:
            setattr(kept, name, value)
    return kept


def merge_features(encoded: Sequence[Any]) -> Any:
    """The features of several prompts as one output, in their order."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    if len(encoded) == 1:
        return encoded[0]
    merged = BaseModelOutputWithPooling()
    for name in FIELDS:
        parts = [getattr(output, name, None) for output in encoded]
        if parts[0] is not None:
            joined = _joined_layers if name == "deepstack_features" else _joined
            setattr(merged, name, joined(parts))
    return merged


def _joined(parts: Sequence[Any]) -> Any:
    """Tensors of all images, or one tensor an image."""
    if isinstance(parts[0], Tensor):
        return torch.cat(list(parts))
    return tuple(features for part in parts for features in part)


def _joined_layers(parts: Sequence[Any]) -> Any:
    """Deepstack: the same once for each layer that gets some."""
    return [_joined(layer) for layer in zip(*parts, strict=True)]
