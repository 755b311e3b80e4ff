"""Steps of the real verl on a CPU: Ray, agent loops, reward workers, storage and trainer are verl's
own, only the tokens come from a script. Minutes, because every Ray process loads verl.

Run by ``make test-verl``, in verl's own environment.
"""

import os
from pathlib import Path

import pytest
from verl_folders import export, plan_of, write_ladder

from observe_r1.config.stages import RLStage
from observe_r1.rewards import score_group
from observe_r1.types import Completion, RolloutGroup
from observe_r1.weighting import weigh_groups

pytestmark = pytest.mark.verl

SMALL = (
    "rl.prompts_per_step=4", "rl.group_size=4", "rl.bonus.floor=5", "rl.eval_every=1",
    "rl.max_steps=none", "heldout.samples=4",
)  # fmt: skip
FEW_PROCESSES = (
    "reward.num_workers=1", "actor_rollout_ref.rollout.agent.num_workers=1",
    "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
    "trainer.rollout_data_dir=null", "trainer.validation_data_dir=null",
)  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster, of this machine unless RAY_ADDRESS names one, with the plug-in in each of its
    processes."""
    import ray

    from observe_r1.integrations.verl.settings import PLUGIN

    here = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": 16, "include_dashboard": False}
    variables = {"VERL_USE_EXTERNAL_MODULES": PLUGIN, "PYTHONPATH": str(Path(__file__).parent)}
    ray.init(log_to_driver=False, runtime_env={"env_vars": variables}, **here)
    yield
    ray.shutdown()


@pytest.fixture
def begin(cluster, tmp_path):
    """A trainer with everything but workers on GPUs, made by verl's own methods."""
    import ray
    import transfer_queue as tq

    trainers = []

    def begin(*arguments):
        held_out = write_ladder(tmp_path / "held", 3, first=101)
        out = export(tmp_path, *SMALL, f"heldout.data={held_out}", *arguments)
        config = configuration(out)
        tq.init(config.transfer_queue)
        trainers.append(make_trainer(config))
        return RLStage.build(plan_of(out)["stage"], "plan"), trainers[-1]

    yield begin
    for trainer in trainers:
        for actor in (
            *trainer.get_reward_handles(),
            *trainer.agent_loop_manager.agent_loop_workers,
        ):
            ray.kill(actor)
    tq.close()


def configuration(out):
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(out), version_base=None):
        config = compose("verl", overrides=[f"folder={out}", *FEW_PROCESSES])
    OmegaConf.resolve(config)  # as verl's task runner does
    config.transfer_queue.enable = True
    return config


def make_trainer(config):
    from verl.experimental.reward_loop import RewardLoopManager
    from verl.trainer.ppo.v1 import AgentLoopManagerTQ, get_trainer_cls
    from verl_scripted import ScriptedClient

    import observe_r1.integrations.verl.plugin  # noqa: F401 - registers

    trainer = get_trainer_cls(config.trainer.v1.trainer_mode)(config)
    trainer._init_tokenizer()
    trainer._init_dataloader()
    trainer.reward_loop_manager = RewardLoopManager(config)
    trainer.agent_loop_manager = AgentLoopManagerTQ.create(
        config=config,
        llm_client=ScriptedClient(trainer.tokenizer),
        reward_loop_worker_handles=trainer.get_reward_handles(),
    )
    trainer.replay_buffer.poll_interval = 0.2
    trainer.global_steps = 1
    return trainer


def one_step(trainer):
    """A step as verl's trainer makes it, up to the update, which is where GPUs are needed."""
    import transfer_queue as tq
    from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size

    trainer.prepare_step()
    batch, metrics = trainer.replay_buffer.sample(
        global_steps=trainer.global_steps, partition_id="train", batch_size=4
    )
    batch.extra_info["temperature"] = 1.0
    batch = upsample_batch_to_divisible_size(batch, 10, trainer.tokenizer.eos_token_id)
    batch.reorder([*range(7, len(batch)), *range(7)])  # as balancing does
    stored = read(batch, "rollout_log_probs")
    stored["old_log_probs"] = stored.pop("rollout_log_probs")  # as the actor would compute them
    tq.kv_batch_put(keys=batch.keys, partition_id="train", fields=stored)
    trainer._compute_advantage(batch, metrics)
    return batch, metrics


def read(batch, *fields):
    import transfer_queue as tq

    return tq.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=list(fields))


def our_own(trainer, batch, stage):
    """The same completions scored and weighed by our own loop: advantage and reward by key."""
    from observe_r1.data.verl_rows import sample_of

    names = ["responses", "extra_info", "reward_model", "data_source", "ability"]
    data = read(batch, *names)
    rows = {}
    for place, key in enumerate(batch.keys):
        if key.startswith("pad"):
            continue
        row = {name: getattr(data[name][place], "data", data[name][place]) for name in names}
        rows.setdefault(key.split("_")[0], []).append((int(key.split("_")[1]), key, row))
    scored, keys = [], []
    for members in rows.values():
        members.sort()
        completions = [completion(trainer, read_ids(data, batch, key)) for _, key, _ in members]
        sample = sample_of(members[0][2])
        rollout = RolloutGroup(sample=sample, completions_G=tuple(completions), step=1)
        scored.append(score_group(rollout, stage, 1))
        keys.append([key for _, key, _ in members])
    weighted = weigh_groups(scored, stage)
    return {
        key: (advantage, score.reward)
        for group, names in zip(weighted, keys, strict=True)
        for key, advantage, score in zip(
            names, group.advantages_G, group.scored.scores_G, strict=True
        )
    }, weighted


def read_ids(data, batch, key):
    return data["responses"][batch.keys.index(key)].tolist()


def completion(trainer, ids):
    text = trainer.tokenizer.decode(ids, skip_special_tokens=True)
    return Completion(text=text, token_ids=tuple(ids))


def test_a_step_gives_every_token_our_advantage(begin):
    stage, trainer = begin()
    batch, metrics = one_step(trainer)
    expected, weighted = our_own(trainer, batch, stage)
    assert len(expected) == 16 and len(batch) == 20  # four of them are verl's fillers
    stored = read(batch, "advantages", "rm_scores", "response_mask")
    moved = 0
    for place, key in enumerate(batch.keys):
        advantage, reward = expected.get(key, (0.0, 0.0))
        values = stored["advantages"][place]
        mask = stored["response_mask"][place]
        assert values.tolist() == pytest.approx((advantage * mask).tolist(), abs=1e-6), key
        assert float(stored["rm_scores"][place].sum()) == pytest.approx(reward, abs=1e-6), key
        moved += advantage != 0.0
    assert moved >= 8
    assert any(score.bonus for group in weighted for score in group.scored.scores_G)
    accuracy = sum(group.scored.solve_rate for group in weighted) / 4
    assert metrics["observe_r1/accuracy"] == pytest.approx(accuracy)
    assert metrics["observe_r1/lost_completions"] == 0.0
    assert metrics["curriculum/samples_seen"] == 4.0


def test_rejected_groups_are_drawn_again_and_seen_by_the_curriculum(begin):
    from observe_r1.integrations.verl.live import LIVE

    stage, trainer = begin("rl.admission.type=mixed", "rl.redraw.max_rounds=3")
    batch, metrics = one_step(trainer)
    expected, weighted = our_own(trainer, batch, stage)
    assert len(weighted) == 4 and all(0 < group.scored.solve_rate < 1 for group in weighted)
    assert all(group.admitted for group in weighted)
    assert metrics["training/filter_groups/evicted_samples"] >= 2
    assert LIVE.curriculum.rates.num_seen > 4
    stored = read(batch, "advantages")
    for place, key in enumerate(batch.keys):
        advantage, _ = expected.get(key, (0.0, 0.0))
        assert stored["advantages"][place].tolist() == pytest.approx(
            [advantage] * len(stored["advantages"][place]), abs=1e-6
        )


def test_groups_that_do_not_count_leave_the_loss_and_its_denominator(begin):
    stage, trainer = begin("rl.admission.type=mixed")
    batch, _ = one_step(trainer)
    _, weighted = our_own(trainer, batch, stage)
    rejected = {g.scored.sample.id for g in weighted if not g.admitted}
    assert rejected
    stored = read(batch, "loss_mask", "extra_info")
    for place, key in enumerate(batch.keys):
        info = getattr(stored["extra_info"][place], "data", stored["extra_info"][place])
        counted = not key.startswith("pad") and info["id"] not in rejected
        assert bool(stored["loss_mask"][place].any()) == counted


def test_validation_reports_every_reward_by_name(begin):
    _, trainer = begin()
    metrics = trainer._validate()
    assert metrics["val-core/sums/acc/mean@4"] == pytest.approx((1 + 2 + 3) / 12)
    assert metrics["val-aux/sums/reward/accuracy/mean@4"] == pytest.approx((1 + 2 + 3) / 12)
    assert 0 < metrics["val-aux/sums/format/mean@4"] <= 1
    assert metrics["val-aux/sums/num_tokens/mean@4"] > 5
