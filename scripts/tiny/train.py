"""Train the built-in model on puzzles; run again to resume, and the result is the same to the bit.

    python scripts/tiny/train.py --out build/tiny            # one hour to two on two cores
    python scripts/tiny/train.py --out build/tiny --export src/observe_r1/assets/tiny

Every batch is a pure function of its step, so a checkpoint needs weights, optimizers and step.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from build import make_model, make_processor, make_tokenizer
from mixture import MODES, Example, Mode, make_example
from safetensors.torch import load_file, save_file

from observe_r1.data.puzzles import MIX, PUZZLES, Item, make_item
from observe_r1.data.puzzles.split import split_of
from observe_r1.records import append_rows, write_atomic
from observe_r1.text import format_question, system_prompt

SEED = 0
"""Seed of the items; recipes and evaluations use others."""

BATCH = 64
STEPS = 2400
PEAK_LEARNING_RATE = 3e-3
WARM_UP_STEPS = 150
DECAY_SHARE = 0.4
SAVE_EVERY = 200

IGNORED = -100
"""The label of a token that is not learned."""

FAMILIES = [PUZZLES[name] for name in MIX]


def batch_items(step: int) -> list[Item]:
    """Families and levels in turn, so that every batch holds the whole mix."""
    items: list[Item] = []
    index = step * 1000
    while len(items) < BATCH:
        family = FAMILIES[index % len(FAMILIES)]
        level = index // len(FAMILIES) % len(family.levels)
        item = make_item(family, SEED, index, level)
        index += 1
        if split_of(item) == "train":
            items.append(item)
    return items


def batch_examples(step: int) -> Iterator[list[Example]]:
    """The three modes as three lists, each of equal length in tokens or nearly so."""
    rng = random.Random(f"mixture/{step}")
    items = batch_items(step)
    rng.shuffle(items)
    for place, mode in enumerate(MODES):
        yield [make_example(item, mode, rng) for item in items[place :: len(MODES)]]


class Encoder:
    """Examples to tensors, through the real image processor and the tokenizer."""

    def __init__(self, processor) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.prompts = {mode: self._prompt_parts(mode) for mode in MODES}

    def _prompt_parts(self, mode: Mode) -> tuple[list[int], list[int]]:
        """Token ids before and after the question; the picture is in the first part."""
        messages = [
            {"role": "system", "content": system_prompt(mode)},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "\x00"}]},
        ]
        template = self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        before, after = template.replace("<|image_pad|>", "<|image_pad|>" * 16).split("\x00")
        return self.ids(before), self.ids(after)

    def ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def row(self, example: Example) -> tuple[list[int], int]:
        before, after = self.prompts[example.mode]
        prompt = before + self.ids(format_question(example.item.sample_without_images())) + after
        return prompt + self.ids(example.response + "<|im_end|>"), len(prompt)

    def parts(self, examples: list[Example]) -> list[dict[str, torch.Tensor]]:
        """The shorter half and the longer half: less padding."""
        by_length = sorted(examples, key=lambda example: len(self.row(example)[0]))
        middle = len(by_length) // 2
        return [self.batch(by_length[:middle]), self.batch(by_length[middle:])]

    def batch(self, examples: list[Example]) -> dict[str, torch.Tensor]:
        rows = [self.row(example) for example in examples]
        longest = max(len(row) for row, _ in rows)
        pad = self.tokenizer.pad_token_id
        input_ids = torch.full((len(rows), longest), pad)
        labels = torch.full((len(rows), longest), IGNORED)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for number, (row, prompt_length) in enumerate(rows):
            input_ids[number, : len(row)] = torch.tensor(row)
            labels[number, prompt_length : len(row)] = torch.tensor(row[prompt_length:])
            mask[number, : len(row)] = 1
        images = [example.item.images()[0] for example in examples]
        pixels = self.processor.image_processor(images=images, return_tensors="pt")
        is_image = (input_ids == self.tokenizer.convert_tokens_to_ids("<|image_pad|>")).int()
        return {
            "input_ids": input_ids, "attention_mask": mask, "labels": labels,
            "mm_token_type_ids": is_image, **pixels,
        }  # fmt: skip


def make_optimizers(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for embeddings, patches, norms and biases."""
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        inside = parameter.dim() == 2 and "embed" not in name and "lm_head" not in name
        (matrices if inside else rest).append(parameter)
    return [
        torch.optim.Muon(
            matrices, lr=PEAK_LEARNING_RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(rest, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def learning_rate(step: int, steps: int) -> float:
    """Warm up, stay, then fall in a straight line to nought."""
    left = (steps - step) / (DECAY_SHARE * steps)
    return PEAK_LEARNING_RATE * min(1.0, (step + 1) / WARM_UP_STEPS, left)


def train_step(
    model, encoder: Encoder, optimizers, step: int, steps: int, half: bool
) -> dict[str, float]:
    row: dict[str, float] = {"step": step}
    for examples in batch_examples(step):
        parts = encoder.parts(examples)
        num_labels = sum(int((part["labels"] != IGNORED).sum()) for part in parts)
        loss = 0.0
        for part in parts:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                part_loss = summed_loss(model, **part) / num_labels
            (part_loss / len(MODES)).backward()
            loss += part_loss.item()
        row[f"loss/{examples[0].mode}"] = loss
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return row


def summed_loss(model, labels: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
    """Logits only where there is something to learn: prompts are half of the tokens."""
    hidden = model.model(**inputs, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:] != IGNORED
    logits = model.lm_head(hidden[wanted]).float()
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:][wanted], reduction="sum")


def save(out: Path, model, optimizers, step: int) -> None:
    folder = out / "checkpoint"
    folder.mkdir(parents=True, exist_ok=True)
    state = {"step": step, "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
    torch.save(state, folder / "state.part")
    save_file(dict(model.state_dict()) | _no_shared(model), folder / "weights.part")
    (folder / "weights.part").replace(folder / "weights.safetensors")
    (folder / "state.part").replace(folder / "state.pt")


def _no_shared(model) -> dict[str, torch.Tensor]:
    # The output layer is the embedding; safetensors wants each tensor to own its memory.
    return {"lm_head.weight": model.state_dict()["lm_head.weight"].clone()}


def load(out: Path, model, optimizers) -> int:
    """The step to go on from; nought when there is no checkpoint."""
    folder = out / "checkpoint"
    if not (folder / "state.pt").exists():
        return 0
    model.load_state_dict(load_file(folder / "weights.safetensors"))
    state = torch.load(folder / "state.pt", weights_only=True)
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return state["step"]


def export(model, processor, folder: Path) -> None:
    """Half the bytes in bfloat16; loads like any other checkpoint."""
    import copy

    half = copy.deepcopy(model).to(torch.bfloat16)
    half.save_pretrained(folder)
    processor.save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(processor.chat_template)


def tokenizer_texts() -> Iterator[str]:
    for mode in MODES:
        yield from [system_prompt(mode)] * 20
    for step in range(0, 40):
        for examples in batch_examples(step):
            for example in examples:
                yield example.item.question
                yield example.response


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--export", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--half", action="store_true",
        help="products in bfloat16: 1.6 times as fast on CPUs that know it, slower on others",
    )  # fmt: skip
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory guards against kernels that read it; ours do not, and it costs 5 %.
    torch.utils.deterministic.fill_uninitialized_memory = False
    tokenizer = make_tokenizer(tokenizer_texts())
    processor = make_processor(tokenizer)
    model = make_model(tokenizer, SEED)
    optimizers = make_optimizers(model)
    start = load(arguments.out, model, optimizers)
    encoder = Encoder(processor)
    print(
        f"{sum(p.numel() for p in model.parameters()):,} parameters; from step {start}", flush=True
    )
    began = time.time()
    for step in range(start, arguments.steps):
        row = train_step(model, encoder, optimizers, step, arguments.steps, arguments.half)
        if step % 20 == 0:
            row["seconds"] = round(time.time() - began, 1)
            append_rows(arguments.out / "metrics.jsonl", [row])
            print(json.dumps(row), flush=True)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == arguments.steps:
            save(arguments.out, model, optimizers, step + 1)
    if arguments.export:
        export(model, processor, arguments.export)
        write_atomic(arguments.export / "training.json", json.dumps({"steps": arguments.steps}))


if __name__ == "__main__":
    main()
