"""The curriculum inside verl: a data set whose next rows are the curriculum's.

verl 0.9 has no sampler to plug in, but reads its data set through ``data.custom_cls`` and asks for
whole batches in order, in the driver, one step at a time. So the data set answers every request
with what the curriculum chooses next, whatever positions were asked for:

    verl: rows 128 … 255, please   →   curriculum.next_batch(128)   →   those rows

Its state goes into verl's checkpoints with the data loader's, and comes back with it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from PIL import Image
from verl.utils.dataset.rl_dataset import RLHFDataset

from observe_r1.curriculum import build_curriculum
from observe_r1.data.verl_rows import sample_of
from observe_r1.errors import ConfigError
from observe_r1.integrations.verl.live import LIVE
from observe_r1.integrations.verl.plan import plan_path, read_plan
from observe_r1.pictures import as_seen
from observe_r1.text.template import opened_section
from observe_r1.types import Sample

PICTURES = ("images", "prompt")
"""Columns that no curriculum looks at."""


class CurriculumDataset(RLHFDataset):
    """verl's data set, with training rows in the order of the recipe's curriculum."""

    def __init__(
        self,
        data_files: Any,
        tokenizer: Any,
        config: Any,
        processor: Any = None,
        max_samples: int = -1,
    ) -> None:
        files = [data_files] if isinstance(data_files, str) else list(data_files)
        super().__init__(files, tokenizer, config, processor, max_samples)
        self.plan = read_plan(plan_path(config, "data"))
        self.is_training = files == _as_list(config.train_files)
        self.waiting: deque[int] = deque()
        """Rows that were drawn and not asked for yet."""
        if self.is_training:
            _check(config)
            if processor is not None:
                _check_template(processor)
            self._start()

    def _start(self) -> None:
        columns = self.dataframe.remove_columns(PICTURES)
        self.samples: list[Sample] = [sample_of(row) for row in columns]
        self._begin(seed=self.plan.stage.seed)

    def _begin(self, seed: int) -> None:
        self.curriculum = build_curriculum(self.plan.stage.curriculum, self.samples, seed)
        LIVE.curriculum = self.curriculum

    def __len__(self) -> int:
        """Rows that a run asks for: verl counts its steps by them."""
        if self.is_training:
            return self.plan.steps * self.plan.stage.prompts_per_step
        return len(self.dataframe)

    def __getitems__(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """A batch. The curriculum is asked for whole steps, as in our own loop, also where verl
        wants prompts one by one (it does when rejected groups are drawn again)."""
        if not self.is_training:
            return [self[position] for position in positions]
        while len(self.waiting) < len(positions):
            self._draw()
        return [self[self.waiting.popleft()] for _ in positions]

    def _draw(self) -> None:
        drawn = self.curriculum.next_batch(self.plan.stage.prompts_per_step)
        if not drawn:  # only where rejected groups used up more than the plan counted
            self._begin(seed=self.curriculum.seed + 1)
            drawn = self.curriculum.next_batch(self.plan.stage.prompts_per_step)
        self.waiting.extend(self.curriculum.index_of[sample.id] for sample in drawn)

    def state_dict(self) -> dict[str, Any]:
        if not self.is_training:
            return {}
        return {
            "seed": self.curriculum.seed,
            "curriculum": self.curriculum.state_dict(),
            "waiting": list(self.waiting),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if not self.is_training or not state:
            return
        self._begin(seed=state["seed"])
        self.curriculum.load_state_dict(state["curriculum"])
        self.waiting = deque(state["waiting"])

    @classmethod
    def _process_multi_modal_info(
        cls, messages: list[dict[str, Any]], image_patch_size: Any, config: Any
    ) -> tuple[list[Image.Image] | None, None, None]:
        """The pictures as they are: the model's own processor sizes them, as in our engine."""
        parts = [
            part
            for message in messages
            if isinstance(message["content"], list)
            for part in message["content"]
            if part.get("type") == "image"
        ]
        return [_decoded(part) for part in parts] or None, None, None

    @classmethod
    async def process_vision_info(
        cls, messages: list[dict[str, Any]], image_patch_size: Any, config: Any
    ) -> tuple[list[Image.Image] | None, None]:
        images, _, _ = await cls.process_multi_modal_info(messages, image_patch_size, config)
        return images, None


def _decoded(part: Mapping[str, Any]) -> Image.Image:
    image = part.get("image")
    picture = image if isinstance(image, Image.Image) else Image.open(BytesIO(part["bytes"]))
    return as_seen(picture)


def _as_list(files: Any) -> list[str]:
    return [files] if isinstance(files, str) else list(files)


def _check_template(processor: Any) -> None:
    """verl renders prompts in processes of its own, with the template as the model has it."""
    if (opened := opened_section(processor)) is not None:
        raise ConfigError(
            f"the model's chat template opens <{opened}> for every response, so that none would "
            "have that tag and be well formed. Take it off the end of chat_template.jinja in a "
            "copy of the model's folder, and set actor_rollout_ref.model.path to that."
        )


def _check(config: Any) -> None:
    """Settings under which the order would not be the curriculum's."""
    if config.get("dataloader_num_workers", 0):
        raise ConfigError(
            f"data.dataloader_num_workers is {config.dataloader_num_workers}, so that other "
            "processes would draw ahead of what training shows. Set it to 0."
        )
    if config.get("shuffle", False):
        raise ConfigError(
            "data.shuffle is true, but the order is the curriculum's. Set it to false; for random "
            "order export the recipe with rl.curriculum.type=shuffled."
        )
    if _as_list(config.train_files) == _as_list(config.val_files):
        raise ConfigError(
            "data.train_files and data.val_files are the same, so a measurement would draw from "
            "the curriculum. Validate on other questions."
        )
