"""``export verl``: a folder that starts a recipe on a Ray cluster with one command.

    cluster/
        run.sh            starts it; arguments are overrides of verl's settings
        verl.yaml         everything that differs from verl's defaults
        plan.json         what the plug-in needs: the stage, resolved
        data/             train.parquet in verl's schema, val.parquet
        rewards/          files of the user's own that rewards read
        README.md         what is needed, what differs from ``observe-r1 train``, what to do after

The folder appears whole or not at all, and may be moved: paths in it are relative to it.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from observe_r1.config.run import RunConfig
from observe_r1.config.stages import RLStage
from observe_r1.data.verl_rows import write_verl
from observe_r1.errors import ConfigError, DataError, RunError
from observe_r1.integrations.verl.plan import FILE, Plan, map_reward_files
from observe_r1.integrations.verl.readme import readme
from observe_r1.integrations.verl.refusals import check, choose_stage
from observe_r1.integrations.verl.settings import PLUGIN, Cluster, differences, settings
from observe_r1.integrations.verl.sizes import Sizes, count_steps, without_images
from observe_r1.integrations.verl.yaml_text import to_yaml
from observe_r1.text import system_prompt
from observe_r1.types import Sample

REWARDS = "rewards"
Tick = Callable[[int], None]

RUN = """\
#!/usr/bin/env bash
# Starts recipe {recipe} with verl. Arguments are overrides of verl's settings:
#   ./run.sh trainer.nnodes=2 trainer.n_gpus_per_node=4
set -euo pipefail
here=$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)
python=${{PYTHON:-python3}}
"$python" -c 'import observe_r1' 2>/dev/null || {{
    echo "observe-r1: $python has no observe-r1. Name the environment's Python: PYTHON=... $0" >&2
    exit 2
}}
"$python" -m observe_r1.integrations.verl.versions
export VERL_USE_EXTERNAL_MODULES={plugin}
exec "$python" -m verl.trainer.main_ppo --config-path "$here" --config-name verl \\
    "folder='$here'" \\
    "++ray_kwargs.ray_init.runtime_env.env_vars.TENSORBOARD_DIR='$here/tensorboard'" "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be exported.

    Example:
        Order(run=run, model="/models/qwen", cluster=Cluster(nodes=2), stage="rl")
    """

    run: RunConfig
    model: str
    """Where verl finds the model: a folder or a name on the hub."""
    cluster: Cluster = field(default_factory=Cluster)
    stage: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    plan: Plan
    sizes: Sizes
    differences: list[str]


def refuse_early(order: Order, out: Path) -> RLStage:
    """Everything that can be refused before a single question is read."""
    stage = choose_stage(order.run, order.stage)
    check(stage)
    for file in reward_files(stage):
        if not file.is_file():
            raise ConfigError(
                f"a reward of stage '{stage.name}' reads {file}, and there is no such file. Give "
                "its path as seen from here; a judge that a stage of the recipe fits must have "
                "been fitted before."
            )
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out} is not empty. Choose another --out, or delete it.")
    return stage


def export(
    order: Order,
    samples: Sequence[Sample],
    held_out: Sequence[Sample],
    out: Path,
    tick: Tick = lambda count: None,
) -> Exported:
    """Write the folder; ``tick`` is told after each question."""
    stage = refuse_early(order, out)
    part = out.parent / f".{out.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        exported = _write(order, stage, samples, held_out, part, tick)
    except BaseException:  # Ctrl-C too: no half a folder stays behind
        shutil.rmtree(part, ignore_errors=True)
        raise
    if out.exists():
        out.rmdir()  # empty, as was checked
    part.rename(out)
    return exported


def _write(
    order: Order,
    stage: RLStage,
    samples: Sequence[Sample],
    held_out: Sequence[Sample],
    part: Path,
    tick: Tick,
) -> Exported:
    prompt = system_prompt(stage.grammar) if stage.system_prompt is None else stage.system_prompt
    seen = Seen(prompt, tick)
    write_verl(part / "data" / "train.parquet", seen(samples), system_prompt=prompt)
    if not seen.samples:
        raise DataError(f"{order.run.data} holds no question, so there is nothing to export.")
    heldout = order.run.heldout if held_out else None
    # verl wants a validation file even where nothing is measured: then it holds one question.
    measured = held_out or [samples[0]]
    write_verl(part / "data" / "val.parquet", seen.measure(measured), system_prompt=prompt)
    plan = Plan(
        written_by=version("observe-r1"),
        recipe=order.run.recipe,
        preset=order.run.preset,
        model=order.model,
        data=order.run.data,
        deviations=order.run.deviations,
        trackers=order.run.tracking.trackers,
        stage=copy_reward_files(stage, part),
        steps=count_steps(stage, seen.samples),
        questions=len(seen.samples),
    )
    tree = settings(plan, order.cluster, seen.sizes, heldout)
    notes = differences(plan, heldout)
    (part / FILE).write_text(plan.model_dump_json(indent=2) + "\n", encoding="utf-8")
    title = f"# {plan.recipe} for verl: what differs from verl's defaults. See README.md.\n"
    (part / "verl.yaml").write_text(title + to_yaml(tree), encoding="utf-8")
    (part / "README.md").write_text(
        readme(plan, order.cluster, seen.sizes, notes, heldout), encoding="utf-8"
    )
    script = part / "run.sh"
    script.write_text(RUN.format(recipe=plan.recipe, plugin=PLUGIN), encoding="utf-8")
    script.chmod(0o755)
    return Exported(plan=plan, sizes=seen.sizes, differences=notes)


class Seen:
    """Samples on their way to disk: sizes and all but the pictures are kept."""

    def __init__(self, prompt: str, tick: Tick) -> None:
        self.prompt = prompt
        self.tick = tick
        self.sizes = Sizes()
        self.samples: list[Sample] = []

    def __call__(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        for sample in self.measure(samples):
            self.samples.append(without_images(sample))
            self.tick(1)
            yield sample

    def measure(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        for sample in samples:
            self.sizes = self.sizes.including(sample, self.prompt)
            yield sample


def reward_files(stage: RLStage) -> list[Path]:
    """Every file that the rewards of a stage read."""
    found: list[Path] = []

    def note(file: str) -> str:
        found.append(Path(file).expanduser())
        return file

    map_reward_files(stage.model_dump(mode="json"), note)
    return found


def copy_reward_files(stage: RLStage, part: Path) -> RLStage:
    """The stage with its rewards' files in the folder, two of one name kept apart."""
    names: dict[Path, str] = {}

    def bring(file: str) -> str:
        source = Path(file).expanduser().resolve()
        if source not in names:
            names[source] = f"{REWARDS}/{len(names)}-{source.name}"
            (part / REWARDS).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, part / names[source])
        return names[source]

    values = map_reward_files(json.loads(stage.model_dump_json()), bring)
    return RLStage.build(values, f"stage '{stage.name}'")
