"""How wide and deep a model is, from its ``config.json`` or by its name, and what follows from it.

    language   embeddings · layers · norm · head       vision   patches · blocks · merger

Counts are exact for the Qwen-VL families; other families differ by a few biases and norms.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from observe_r1.config.near import did_you_mean
from observe_r1.errors import ModelError

TINY = "tiny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """A stack of transformer layers.

    Example (the language model of Qwen2.5-VL-3B):
        Tower(layers=36, hidden=2048, inner=11008, query=2048, key=256, gated=True)
    """

    layers: int
    hidden: int
    inner: int
    """Width of the feed-forward part."""
    query: int
    """Heads times head width."""
    key: int
    """The same for keys, and for values."""
    gated: bool = True
    """Three matrices in the feed-forward part instead of two."""
    has_biases: bool = False
    """Vision blocks have a bias in every projection."""
    window: int | None = None
    """Tokens that see each other in most layers; None: all."""
    full_layers: int = 0
    """Layers without the window."""

    @property
    def products(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the matrices that every token is multiplied by, in one layer."""
        feed_in = ((self.hidden, self.inner),) * (2 if self.gated else 1)
        return (
            (self.hidden, self.query), (self.hidden, self.key), (self.hidden, self.key),
            (self.query, self.hidden), *feed_in, (self.inner, self.hidden),
        )  # fmt: skip

    @property
    def weights_per_layer(self) -> int:
        return sum(rows * columns for rows, columns in self.products)

    @property
    def kept_per_token(self) -> int:
        """Numbers that one layer keeps of a token for its backward pass: inputs of the products,
        of both norms and of the activation, queries and keys before and after rotation, and the
        copies that completions make of them."""
        feed = (4 if self.gated else 3) * self.inner
        return 6 * self.hidden + 5 * self.query + 5 * self.key + feed

    def seen(self, length: int) -> float:
        """Tokens that one token sees, a mean over a sequence of this length and the layers."""
        causal = length / 2
        if self.window is None:
            return causal
        share = self.full_layers / self.layers
        return share * length + (1 - share) * min(self.window, length)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A vision-language model by its sizes; ``parameters`` are counted from them."""

    name: str
    language: Tower
    vocabulary: int
    tied: bool
    """The output head is the embedding."""
    vision: Tower | None = None
    patch: int = 14
    """Pixels of a side of a patch."""
    merged: int = 2
    """Patches of a side that become one token of the language model."""
    deepstack: int = 0
    """Further mergers (Qwen3-VL)."""
    positions: int = 0
    """Learnt positions of patches (Qwen3-VL); 0: rotary ones."""
    query_key_norms: bool = False
    """Queries and keys are normalised (Qwen3), and have no biases."""
    source: str = ""

    @property
    def language_parameters(self) -> int:
        tower = self.language
        biases = 0 if self.query_key_norms else tower.query + 2 * tower.key
        norms = 2 * tower.hidden + (256 if self.query_key_norms else 0)
        layers = tower.layers * (tower.weights_per_layer + biases + norms)
        return layers + tower.hidden + self.vocabulary * tower.hidden * (1 if self.tied else 2)

    @property
    def vision_parameters(self) -> int:
        """The blocks and the patches; see ``aligner_parameters`` for the mergers."""
        if self.vision is None:
            return 0
        tower = self.vision
        biases = tower.query + 2 * tower.key + tower.hidden
        feed = tower.inner * (2 if tower.gated else 1) + tower.hidden
        norms = tower.hidden * (2 if tower.gated else 4)
        block = tower.weights_per_layer + biases + feed + norms
        table = (self.positions + 1) * tower.hidden if self.positions else 0
        return tower.layers * block + 3 * 2 * self.patch**2 * tower.hidden + table

    @property
    def aligner_parameters(self) -> int:
        if self.vision is None:
            return 0
        wide = self.vision.hidden * self.merged**2
        one = wide * wide + wide + wide * self.language.hidden + self.language.hidden
        norm = self.vision.hidden * (1 if self.vision.gated else 2)
        return one + norm + self.deepstack * (one + 2 * wide)

    @property
    def parameters(self) -> int:
        return self.language_parameters + self.vision_parameters + self.aligner_parameters

    def patches(self, image_tokens: int) -> int:
        return image_tokens * self.merged**2


def find_shape(model: str) -> ModelShape:
    """The shape of a checkpoint folder, of the built-in model, or of a model known by its name.

    Example:
        find_shape("Qwen/Qwen2.5-VL-3B-Instruct").parameters == 3_754_622_976
    """
    if model == TINY:
        model = str(files("observe_r1").joinpath("assets", "tiny"))
    config = Path(model) / "config.json"
    if config.is_file():
        return read_shape(config)
    name = _plain(model)
    for known, shape in known_shapes().items():
        if _plain(known) == name:
            return shape
    raise ModelError(
        f"the sizes of '{model}' are not known here: it is no folder with a config.json, and no "
        f"name on the list.{did_you_mean(model, known_shapes(), 'The list has')} Download its "
        "config.json into a folder and give that: weights are not needed."
    )


def typical_shape(billions: float) -> ModelShape:
    """Of a model whose size alone is known: as wide and deep as its like, its feed-forward part
    making up the rest."""
    layers, vocabulary = 32, 150_000 if billions > 0.5 else 32_000
    hidden = max(64, round(36_000 * billions**0.5 / layers / 64) * 64)
    key = max(64, hidden // 7)
    left = billions * 1e9 - vocabulary * hidden - layers * (2 * hidden * (hidden + key))
    inner = max(hidden, round(left / (3 * layers * hidden)))
    tower = Tower(layers=layers, hidden=hidden, inner=inner, query=hidden, key=key)
    return ModelShape(name=f"{billions:g}B", language=tower, vocabulary=vocabulary, tied=True)


def _plain(model: str) -> str:
    """``Qwen/Qwen2.5-VL-3B-Instruct`` and ``qwen2.5-vl-3b`` are the same shape."""
    name = model.rstrip("/").rpartition("/")[2].lower()
    for ending in ("-instruct", "-thinking"):
        name = name.removesuffix(ending)
    return name


@cache
def known_shapes() -> dict[str, ModelShape]:
    """The models of ``shapes.toml``, by name."""
    text = files("observe_r1.recipes.plan").joinpath("shapes.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)
    return {name: shape_of(name, config) for name, config in table["models"].items()}


def read_shape(path: Path) -> ModelShape:
    """From the ``config.json`` of a checkpoint."""
    try:
        config = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}. Copy it again.") from None
    try:
        return shape_of(str(path.parent), config)
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{path} does not say how large the model is: {error} is missing. Give the config.json "
            "of a vision-language model with text_config and vision_config."
        ) from None


def shape_of(name: str, config: Mapping[str, Any]) -> ModelShape:
    """From the contents of a ``config.json``."""
    text: Mapping[str, Any] = config.get("text_config") or config
    kind = str(config.get("model_type", ""))
    heads = text["num_attention_heads"]
    width = text.get("head_dim") or text["hidden_size"] // heads
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    vision = config.get("vision_config")
    return ModelShape(
        name=name,
        language=Tower(
            layers=text["num_hidden_layers"],
            hidden=text["hidden_size"],
            inner=text["intermediate_size"],
            query=heads * width,
            key=text.get("num_key_value_heads", heads) * width,
        ),
        vocabulary=text["vocab_size"],
        tied=bool(tied),
        vision=_vision_tower(vision, kind) if vision else None,
        patch=_number((vision or {}).get("patch_size", 14)),
        merged=_merged(config, vision or {}),
        deepstack=len((vision or {}).get("deepstack_visual_indexes") or ()),
        positions=(vision or {}).get("num_position_embeddings", 0),
        query_key_norms=kind.startswith(("qwen3", "gemma3")),
        source=name,
    )


def _vision_tower(vision: Mapping[str, Any], kind: str) -> Tower:
    """Families name the same things differently."""
    hidden = vision.get("embed_dim") if kind == "qwen2_vl" else vision["hidden_size"]
    hidden = hidden or vision["hidden_size"]
    inner = vision.get("intermediate_size") or int(hidden * vision.get("mlp_ratio", 4))
    layers = vision.get("depth") or vision["num_hidden_layers"]
    full = vision.get("fullatt_block_indexes")
    window = vision.get("window_size") if full is not None else None
    return Tower(
        layers=layers,
        hidden=hidden,
        inner=inner,
        query=hidden,
        key=hidden,
        gated=kind == "qwen2_5_vl",
        has_biases=True,
        window=None if window is None else (window // _number(vision.get("patch_size", 14))) ** 2,
        full_layers=layers if full is None else len(full),
    )


def _merged(config: Mapping[str, Any], vision: Mapping[str, Any]) -> int:
    factor = config.get("scale_factor")  # Idefics 3 and SmolVLM
    return int(vision.get("spatial_merge_size") or factor or 1)


def _number(value: Any) -> int:
    """A side; some families write ``[14, 14]``."""
    return int(value[0] if isinstance(value, list | tuple) else value)
