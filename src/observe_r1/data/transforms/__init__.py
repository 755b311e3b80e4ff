"""Ways to rewrite what a model is taught: text to text, chosen by ``type`` in a recipe.

    thought_dropout     some thoughts become two line breaks            TON
    difficulty_prefix   how hard it is, first; briefly where easy       TH2T
    truncate_and_cue    cut where nothing new comes, say why            TH2T
    sketch              the key steps as a short numbered list          SketchThinker-R1
    reflection          a wrong path, "wait", the right path            RL with Cold Start
    caption             the picture described, then the reasoning       RL with Cold Start
    self_critic         an attempt, a comment, a better one             RL with Cold Start
    corrupt_format      right answer, broken form (rejected side)       SPECS
    repair_format       right answer, mended form (chosen side)         SPECS
    bridge              a chain about a description, as if seen         Vision-R1
    recheck             gone through again and again: over-long         Vision-R1, TH2T
    answer_only         no reasoning at all                             controls
    user                a function of the user's own, by its file

To add one: a file with a ``TransformConfig`` that says in ``rewrite`` what it writes, and its class
in the union; the contract tests pick it up.
"""

from typing import Annotated

from pydantic import Field

from observe_r1.data.transforms.answer_only import AnswerOnly
from observe_r1.data.transforms.base import Lesson, TransformConfig
from observe_r1.data.transforms.bridge import Bridge
from observe_r1.data.transforms.caption import Caption
from observe_r1.data.transforms.corrupt_format import CorruptFormat
from observe_r1.data.transforms.difficulty_prefix import DifficultyPrefix
from observe_r1.data.transforms.recheck import Recheck
from observe_r1.data.transforms.reflection import Reflection
from observe_r1.data.transforms.repair_format import RepairFormat
from observe_r1.data.transforms.self_critic import SelfCritic
from observe_r1.data.transforms.sketch import Sketch
from observe_r1.data.transforms.thought_dropout import ThoughtDropout
from observe_r1.data.transforms.truncate_and_cue import TruncateAndCue
from observe_r1.data.transforms.user import User

_CLASSES = (
    ThoughtDropout,
    DifficultyPrefix,
    TruncateAndCue,
    Sketch,
    Reflection,
    Caption,
    SelfCritic,
    CorruptFormat,
    RepairFormat,
    Bridge,
    Recheck,
    AnswerOnly,
)

AnyTransform = Annotated[
    ThoughtDropout
    | DifficultyPrefix
    | TruncateAndCue
    | Sketch
    | Reflection
    | Caption
    | SelfCritic
    | CorruptFormat
    | RepairFormat
    | Bridge
    | Recheck
    | AnswerOnly
    | User,
    Field(discriminator="type"),
]
"""Any transform, as recipes write it: ``{ type = "thought_dropout", share = 0.5 }``."""

TRANSFORMS: dict[str, type[TransformConfig]] = {
    cls.model_fields["type"].default: cls for cls in _CLASSES
}
"""Transform class by type, but the user's own."""

__all__ = ["TRANSFORMS", "AnyTransform", "Lesson", "TransformConfig"]
