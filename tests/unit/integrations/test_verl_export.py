"""``export verl`` without verl: what is written, what is passed on, what is refused."""

import io
import json
import os
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from verl_folders import export, picture, plan_of, sums, write_ladder

from fakes import byte_processor
from observe_r1.cli.main import call
from observe_r1.config.loss import LossBase
from observe_r1.config.stages import RLStage
from observe_r1.data.store import write_samples
from observe_r1.data.verl_rows import marked_question, sample_of, verl_row
from observe_r1.errors import ConfigError, DataError, RunError
from observe_r1.integrations.verl.plan import read_plan
from observe_r1.integrations.verl.refusals import KNOWN, check
from observe_r1.integrations.verl.sizes import bound_prompt
from observe_r1.integrations.verl.yaml_text import to_yaml
from observe_r1.recipes import load_recipe, names
from observe_r1.types import Sample


def settings_of(out):
    return yaml.safe_load((out / "verl.yaml").read_text())


def test_a_folder_holds_everything_and_says_how_to_start(tmp_path, capsys):
    out = export(tmp_path, "rl.prompts_per_step=8", "rl.max_steps=2", "--nodes", "2", "--json")
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "data", "plan.json", "run.sh", "verl.yaml",
    ]  # fmt: skip
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["steps"], result["questions"]) == (2, 24)
    assert os.access(out / "run.sh", os.X_OK)
    assert "./run.sh trainer.nnodes=2" in (out / "README.md").read_text()
    settings = settings_of(out)
    assert settings["trainer"]["nnodes"] == 2
    assert settings["data"]["train_batch_size"] == 8
    assert str(out) not in (out / "verl.yaml").read_text()  # the folder may be moved


def test_samples_come_back_whole_from_their_rows(tmp_path):
    out = export(tmp_path, "rl.prompts_per_step=8")
    rows = pq.read_table(out / "data" / "train.parquet").to_pylist()
    back = [sample_of(row, tuple(image["bytes"] for image in row["images"])) for row in rows]
    assert back == sums(24)
    assert (
        rows[0]["prompt"][0]["role"] == "system" and "<observe>" in rows[0]["prompt"][0]["content"]
    )


def test_pictures_stand_where_the_built_in_engine_puts_them():
    two = (b"a", b"b")
    sample = Sample(
        id="q", question="Is <image>\nlike\n<image>?", answer="1", kind="number", images=two
    )
    assert marked_question(sample) == "Is <image>like<image>?"
    options = Sample(
        id="q", question="Which?", answer="A", kind="choice", options=("one", "two"), images=(b"a",)
    )
    assert marked_question(options) == "<image>Which?\nA. one\nB. two"


@pytest.mark.parametrize(
    ("question", "message"),
    [("<image> and <image>", "2 <image> marker"), ("press <video>", "Reword the question")],
)
def test_a_question_that_verl_would_misread_is_refused(question, message):
    sample = Sample(id="q7", question=question, answer="1", kind="number", images=(b"a",))
    with pytest.raises(DataError, match=message):
        verl_row(sample, 0, "")


def test_settings_are_passed_on_in_verls_words(tmp_path):
    out = export(
        tmp_path, "rl.prompts_per_step=8", "rl.optimizer.updates_per_rollout=2", "rl.max_steps=3",
        'rl.loss={type="sequence_ratio", clip_low=0.1, clip_high=0.3, kl={coefficient=0.01}}',
        "rl.sampling.temperature=0.7", "rl.save_every=0", recipe="grpo",
    )  # fmt: skip
    settings = settings_of(out)
    actor = settings["actor_rollout_ref"]["actor"]
    assert actor["policy_loss"]["loss_mode"] == "observe_r1_sequence_ratio"
    assert (actor["clip_ratio_low"], actor["clip_ratio_high"]) == (0.1, 0.3)
    assert (actor["use_kl_loss"], actor["kl_loss_coef"]) == (True, 0.01)
    assert actor["ppo_mini_batch_size"] == 4
    assert actor["loss_agg_mode"] == "seq-mean-token-mean"
    assert settings["actor_rollout_ref"]["rollout"]["temperature"] == 0.7
    assert settings["trainer"]["save_freq"] == settings["trainer"]["total_training_steps"] == 3


def test_trackers_are_those_of_the_run(tmp_path):
    plain = export(tmp_path / "plain", "rl.max_steps=3", recipe="grpo")
    assert settings_of(plain)["trainer"]["logger"] == ["console", "tensorboard"]
    assert "validation/ tensorboard/`" in (plain / "README.md").read_text()
    told = export(
        tmp_path / "told", "rl.max_steps=3", "tracking.trackers=wandb,trackio", recipe="grpo"
    )
    assert settings_of(told)["trainer"]["logger"] == ["console", "wandb", "trackio"]
    assert "validation/`" in (told / "README.md").read_text()


def test_dynamic_sampling_becomes_verls_group_filter(tmp_path):
    settings = settings_of(export(tmp_path, "rl.prompts_per_step=8", recipe="dapo"))
    assert settings["algorithm"]["filter_groups"] == {"enable": True, "metric": "acc"}
    assert settings["data"]["gen_batch_size"] == 1


def test_kl_inside_the_reward_becomes_verls_penalty(tmp_path):
    out = export(tmp_path, "--preset", "released", "rl.prompts_per_step=16")
    algorithm = settings_of(out)["algorithm"]
    assert algorithm["use_kl_in_reward"] and algorithm["kl_ctrl"]["kl_coef"] == 0.01
    assert algorithm["kl_penalty"] == "k1"


def test_held_out_questions_are_measured(tmp_path):
    held_out = write_ladder(tmp_path / "held", 4, first=100)
    settings = settings_of(
        export(tmp_path, "rl.prompts_per_step=8", f"heldout.data={held_out}", "rl.eval_every=5")
    )
    assert settings["trainer"]["test_freq"] == 5
    assert settings["actor_rollout_ref"]["rollout"]["val_kwargs"]["n"] == 4
    assert pq.read_metadata(tmp_path / "cluster" / "data" / "val.parquet").num_rows == 4


def test_a_users_reward_travels_with_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def short(attempt):\n    return 1.0\n")
    out = export(
        tmp_path, "rl.prompts_per_step=8",
        'rl.rewards=[{type="accuracy"}, {type="if_correct", reward={type="user", path="mine.py:short"}}]',
    )  # fmt: skip
    assert plan_of(out)["stage"]["rewards"][1]["reward"]["path"] == "rewards/0-mine.py:short"
    moved = shutil.move(out, tmp_path / "elsewhere")
    (tmp_path / "mine.py").unlink()
    reward = read_plan(str(moved / "plan.json")).stage.rewards[1].reward
    assert reward(None) == 1.0


def test_a_plan_of_another_format_is_refused(tmp_path):
    (tmp_path / "plan.json").write_text('{"format": 7}')
    with pytest.raises(RunError, match="Export the folder again"):
        read_plan(str(tmp_path / "plan.json"))


def test_steps_are_those_of_our_own_loop(tmp_path):
    arguments = ["rl.prompts_per_step=5", "rl.max_steps=none"]
    assert plan_of(export(tmp_path, *arguments))["steps"] == 24 // 5
    two = export(tmp_path / "two", *arguments, "rl.curriculum.epochs=2")
    assert plan_of(two)["steps"] == 48 // 5


REFUSED = {
    "rl.max_minutes=5": "rl.max_minutes: verl stops after steps",
    'rl.sampling.stop=["x"]': "rl.sampling.stop: verl's agent loop",
    "rl.sampling.min_p=0.1": "rl.sampling.min_p",
    "rl.sampling.temperature=0": "rl.sampling.temperature: 0 gives",
    "rl.sampling.top_p=0.9": "rl.loss.truncated_importance: the sampler's",
    "rl.optimizer.schedule=linear": "rl.optimizer.schedule",
    "rl.optimizer.type=sgd": "rl.optimizer.type",
    "rl.optimizer.updates_per_rollout=3": "cannot be cut into 3 equal updates",
    "rl.optimizer_state=keep": "rl.optimizer_state",
    "rl.policy.freeze_vision=true": "rl.policy.freeze_vision: verl 0.9.1",
    "rl.policy.freeze_language=true": "rl.policy.freeze_language",
    "rl.admission.type=mixed": "rl.admission: it leaves completions out",
    "rl.truncated=mask": "rl.truncated: it leaves completions out",
    "rl.engine.type=vllm_server": "rl.engine: verl starts the vLLM",
    "rl.curriculum.epochs=none": "the curriculum 'shuffled' never ends",
}


@pytest.mark.parametrize("override", REFUSED)
def test_what_verl_cannot_express_is_refused_with_its_reason(override, tmp_path, capsys):
    data = write_ladder(tmp_path / "ladder")
    arguments = ["rl.max_steps=none", "--data", data, "--out", str(tmp_path / "x")]
    assert call(["export", "verl", "grpo", override, *arguments]) == 2
    captured = capsys.readouterr()
    assert REFUSED[override] in captured.err
    assert not (tmp_path / "x").exists()


def test_verl_computes_all_layers_again_or_none():
    check(RLStage.build({"policy": {"checkpoint_every": 2}}, "x"))  # says nothing by itself
    with pytest.raises(
        ConfigError, match=r"rl\.policy\.checkpoint_every: verl computes all layers"
    ):
        check(RLStage.build(
            {"policy": {"gradient_checkpointing": True, "checkpoint_every": 2}}, "x"
        ))  # fmt: skip


def test_all_reasons_come_at_once(tmp_path, capsys):
    arguments = ["rl.max_minutes=5", "rl.optimizer.type=sgd", "--out", str(tmp_path / "x")]
    assert call(["export", "verl", "grpo", *arguments]) == 2
    message = capsys.readouterr().err
    assert "rl.max_minutes" in message and "rl.optimizer.type" in message


def test_a_setting_nobody_thought_of_is_refused_as_soon_as_it_is_used():
    class Tomorrow(RLStage):
        dreams: int = 0

    KNOWN[Tomorrow] = KNOWN[RLStage]
    try:
        check(Tomorrow())
        with pytest.raises(ConfigError, match="dreams: this version of the export does not know"):
            check(Tomorrow(dreams=1))
    finally:
        del KNOWN[Tomorrow]


def test_every_setting_there_is_was_thought_of():
    for config, known in KNOWN.items():
        assert known == set(config.model_fields), config.__name__
    losses = {loss for loss in KNOWN if issubclass(loss, LossBase)}
    union = RLStage.model_fields["loss"].annotation
    assert losses == set(union.__args__)


@pytest.mark.parametrize("name", names())
def test_every_recipe_is_exported_or_refused_with_reasons(name, tmp_path, capsys):
    data = write_ladder(tmp_path / "ladder", 300)
    status = call(["export", "verl", name, "--data", data, "--out", str(tmp_path / "cluster")])
    captured = capsys.readouterr()
    if status == 0:
        assert (tmp_path / "cluster" / "run.sh").exists()
    else:
        assert status == 2
        assert "Traceback" not in captured.err and len(captured.err) > 80
        assert not (tmp_path / "cluster").exists()
    if name in ("observe_r1", "grpo", "dapo", "dr_grpo", "gspo"):
        assert status == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope", "--out", "x"], "there is no recipe named 'nope'"),
        (["grpo"], "no folder was given"),
        (["grpo", "--out", "x", "--data", "no/data"], "there is no data folder no/data"),
        (["grpo", "--out", "x", "--model", "./no/model"], "there is no model folder ./no/model"),
        (["grpo", "--out", "x", "--stage", "sft"], "has no RL stage 'sft'"),
        (["grpo", "--out", "x", "--data", "{empty}"], "holds no question"),
        (["grpo", "--out", "x", "--data", "{few}"], "do not fill one step"),
        (["grpo", "--out", "x", "--data", "{unprobed}", 'rl.curriculum={{type="ladder"}}'], "data probe"),
        (["grpo", "--out", "{few}"], "is not empty"),
        (
            ["grpo", "--out", "x", 'rl.rewards=[{{type="user", path="gone.py:f"}}]'],
            "there is no such file",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_message_and_nothing_is_written(
    arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folders = {
        "few": write_ladder(tmp_path / "few", 5),
        "empty": str(tmp_path / "empty"),
        "unprobed": str(tmp_path / "unprobed"),
    }
    write_samples(tmp_path / "empty", [])
    unprobed = [Sample(id=f"q{n}", question="2?", answer="2", kind="number") for n in range(40)]
    write_samples(tmp_path / "unprobed", unprobed)
    assert call(["export", "verl", *(part.format(**folders) for part in arguments)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and "Traceback" not in captured.err
    assert not (tmp_path / "x").exists() and not list(tmp_path.glob(".*.part"))


def test_twins_are_refused(tmp_path, capsys):
    twins = [*sums(20), sums(1)[0]]
    write_samples(tmp_path / "twins", twins)
    arguments = ["--data", str(tmp_path / "twins"), "--out", str(tmp_path / "x")]
    assert call(["export", "verl", "grpo", *arguments]) == 2
    assert "two questions have the id 'sum-0'" in capsys.readouterr().err


def test_earlier_stages_are_not_forgotten(tmp_path, capsys):
    recipe = load_recipe("grpo").model_dump(mode="json")
    second = {**recipe["stages"][0], "name": "second"}
    path = tmp_path / "two.toml"
    path.write_text(_toml({**recipe, "name": "two", "stages": [*recipe["stages"], second]}))
    arguments = ["--data", write_ladder(tmp_path / "ladder"), "--out", str(tmp_path / "x")]
    assert call(["export", "verl", str(path), *arguments]) == 2
    assert "has the stages rl, second" in capsys.readouterr().err
    assert call(["export", "verl", str(path), "--stage", "second", *arguments]) == 0


def _toml(recipe) -> str:
    """Only what a small recipe needs; JSON values are TOML values."""
    lines = [f"name = {json.dumps(recipe['name'])}", f"summary = {json.dumps(recipe['summary'])}"]
    for stage in recipe["stages"]:
        lines.append("[[stages]]")
        lines += [f"{key} = {json.dumps(stage[key])}" for key in ("name", "type", "grammar")]
        lines.append("prompts_per_step = 8\nmax_steps = 2")
    return "\n".join(lines)


def test_a_prompt_is_never_longer_than_its_bound():
    processor = byte_processor()  # a token a byte: the worst there is
    options = ("seven", "eight")
    for side in (40, 112, 300):
        image = picture(side, size=(side, 2 * side))
        sample = Sample(
            id="q",
            question="Wie groß?",
            answer="A",
            kind="choice",
            options=options,
            images=(image,),
        )
        text = f"Observe.{marked_question(sample)}".replace("<image>", IMAGE)
        decoded = Image.open(io.BytesIO(image))
        length = len(processor(text=[text], images=[decoded])["input_ids"][0])
        assert length + 30 <= bound_prompt(sample, "Observe.")  # roles and turns are a few more


IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


def test_small_numbers_stay_numbers_in_yaml():
    tree = {
        "lr": 1e-06,
        "betas": [0.9, 1e-08],
        "none": None,
        "nested": {"text": "a: b", "empty": {}},
    }
    assert yaml.safe_load(to_yaml(tree)) == tree


def test_exporting_needs_no_deep_learning_stack():
    code = (
        "import sys; import observe_r1.integrations.verl.export, observe_r1.integrations.verl.versions;"
        "print([m for m in ('torch', 'transformers', 'verl', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
