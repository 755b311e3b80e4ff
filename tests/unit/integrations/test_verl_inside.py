"""The plug-in inside the real verl, on a CPU and without Ray: every door it comes in by.

Run by ``make test-verl``, in verl's own environment.
"""

import asyncio
import random

import numpy as np
import pytest
from verl_folders import export, plan_of, sums

from observe_r1.config.loss import ClippedLoss, ClippedWeightLoss, SequenceRatioLoss
from observe_r1.config.stages import RLStage
from observe_r1.curriculum import build_curriculum
from observe_r1.data.verl_rows import marked_question
from observe_r1.errors import ConfigError, TrainingError
from observe_r1.integrations.verl.sizes import without_images
from observe_r1.rewards import score_group
from observe_r1.text import system_prompt
from observe_r1.types import Completion, RolloutGroup

pytestmark = pytest.mark.verl


@pytest.fixture(scope="module")
def compose():
    """verl's configuration of an exported folder, composed by its own hydra files."""
    from hydra import compose, initialize_config_dir

    def configuration(out, *overrides):
        with initialize_config_dir(str(out), version_base=None):
            return compose("verl", overrides=[f"folder='{out}'", *overrides])

    return configuration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inside")
    return export(
        folder, "rl.prompts_per_step=4", "rl.group_size=4", "rl.max_steps=none",
        "rl.curriculum.epochs=2", "rl.bonus.floor=5",
    )  # fmt: skip


@pytest.fixture(scope="module")
def config(cluster, compose):
    import observe_r1.integrations.verl.plugin  # noqa: F401 - registers

    return compose(cluster)


@pytest.fixture(scope="module")
def loaded(config):
    """Tokenizer and processor, loaded as verl loads them."""
    from verl.utils.config import omega_conf_to_dataclass

    model = omega_conf_to_dataclass(config.actor_rollout_ref.model)
    return model.tokenizer, model.processor


@pytest.fixture
def dataset(config, loaded):
    from verl.trainer.ppo.utils import create_rl_dataset

    return create_rl_dataset(config.data.train_files, config.data, *loaded)


def loader(config, dataset):
    """As verl's trainer builds it."""
    from torchdata.stateful_dataloader import StatefulDataLoader
    from verl.trainer.ppo.utils import create_rl_sampler
    from verl.utils.dataset.rl_dataset import collate_fn

    return StatefulDataLoader(
        dataset=dataset,
        batch_size=config.data.get("gen_batch_size") or config.data.train_batch_size,
        num_workers=config.data["dataloader_num_workers"],
        drop_last=True,
        collate_fn=collate_fn,
        sampler=create_rl_sampler(config.data, dataset),
    )


def ids_of(batch) -> list[str]:
    return [row["id"] for row in batch["extra_info"]]


class TestConfiguration:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("observe_r1", "rl.prompts_per_step=8"),
            ("observe_r1", "--preset", "released", "rl.prompts_per_step=16"),
            ("dapo", "rl.prompts_per_step=8"),
            ("dr_grpo", "rl.prompts_per_step=8", "rl.loss.truncated_importance=none"),
            ("gspo", "rl.prompts_per_step=8", "rl.loss.kl={coefficient=0.1, estimator='k1'}"),
            ("grpo", "rl.prompts_per_step=8", "rl.loss.entropy=0.01", "rl.policy.lora.rank=8"),
        ],
    )
    def test_verl_composes_and_accepts_it(self, arguments, tmp_path, compose):
        from verl.trainer.ppo.utils import need_critic, need_reference_policy
        from verl.utils.config import omega_conf_to_dataclass, validate_config

        import observe_r1.integrations.verl.plugin  # noqa: F401

        recipe, *rest = arguments
        config = compose(export(tmp_path, *rest, recipe=recipe), "trainer.n_gpus_per_node=2")
        stage = RLStage.build(plan_of(tmp_path / "cluster")["stage"], "plan")
        needs_reference = need_reference_policy(config)
        if not stage.policy.lora:  # verl asks vLLM for its largest rank, and vLLM is not here
            validate_config(config, needs_reference, need_critic(config))
        assert bool(needs_reference) == (stage.loss.kl.coefficient > 0)
        actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
        assert actor.rollout_n == stage.group_size
        assert actor.optim.lr == stage.optimizer.lr
        assert omega_conf_to_dataclass(config.actor_rollout_ref.rollout).n == stage.group_size
        assert omega_conf_to_dataclass(config.algorithm).adv_estimator == "observe_r1"

    def test_our_pieces_are_registered(self, config):
        from verl.trainer.ppo.core_algos import get_adv_estimator_fn, get_policy_loss_fn
        from verl.trainer.ppo.reward import resolve_reward_manager_cls
        from verl.utils.dataset.rl_dataset import get_dataset_class
        from verl.utils.import_utils import load_extern_object

        places = [
            get_adv_estimator_fn("observe_r1"),
            *(get_policy_loss_fn(f"observe_r1_{name}") for name in LOSSES),
            resolve_reward_manager_cls(config),
            get_dataset_class(config.data),
            load_extern_object(*config.trainer.v1.sampler.custom_sampler.values()),
        ]
        assert all(p.__module__.startswith("observe_r1.integrations.verl.") for p in places)


class TestDataset:
    def test_our_rows_are_read_with_their_pictures(self, dataset):
        rows = {row["extra_info"]["id"]: row for row in (dataset[i] for i in range(24))}
        for sample in sums(24):
            *_, user = rows[sample.id]["raw_prompt"]
            if sample.images:
                picture, text = user["content"]
                assert picture["bytes"] == sample.images[0] and picture["image"].size == (56, 56)
                assert text["text"] == sample.question
            else:
                assert user["content"] == sample.question

    def test_verl_renders_the_prompt_that_our_engine_renders(self, dataset, loaded):
        from observe_r1.policy.prompts import chat_messages

        _, processor = loaded
        for row in (dataset[i] for i in range(8)):
            sample = next(s for s in sums(24) if s.id == row["extra_info"]["id"])
            theirs, ours = (
                processor.apply_chat_template(m, add_generation_prompt=True, tokenize=False)
                for m in (
                    row["raw_prompt"],
                    chat_messages(sample, system_prompt("observe_think_answer")),
                )
            )
            assert theirs == ours and sample.question in theirs

    def test_a_template_that_opens_a_section_is_refused(self, config, loaded, monkeypatch):
        from verl.trainer.ppo.utils import create_rl_dataset

        tokenizer, processor = loaded
        opening = "{% if add_generation_prompt %}<think>{% endif %}"
        monkeypatch.setattr(processor, "chat_template", processor.chat_template + opening)
        with pytest.raises(ConfigError, match="chat template opens <think>"):
            create_rl_dataset(config.data.train_files, config.data, tokenizer, processor)

    def test_the_processor_sees_pictures_as_they_are(self, dataset, config, loaded):
        _, processor = loaded
        row = next(r for r in (dataset[i] for i in range(24)) if r["extra_info"]["id"] == "sum-22")
        images, videos, audios = asyncio.run(
            dataset.process_multi_modal_info(row["raw_prompt"], 14, config.data)
        )
        assert [image.size for image in images] == [(56, 56)] and videos is None and audios is None
        text = processor.apply_chat_template(
            row["raw_prompt"], add_generation_prompt=True, tokenize=False
        )
        prepared = processor(text=[text], images=images, return_tensors="pt")
        assert prepared["input_ids"].shape[1] <= config.data.max_prompt_length
        assert len(prepared["image_grid_thw"]) == 1

    def test_validation_rows_are_rows(self, config, loaded):
        from verl.trainer.ppo.utils import create_rl_dataset

        held = create_rl_dataset(config.data.val_files, config.data, *loaded, is_train=False)
        (row,) = held.__getitems__([0])
        assert len(held) == 1 and marked_question(sums(24)[0]).endswith(
            row["extra_info"]["question"]
        )

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ("data.dataloader_num_workers=2", "draw ahead"),
            ("data.shuffle=true", "the order is the curriculum's"),
            ("data.val_files=${data.train_files}", "are the same"),
            ("data.observe_r1=null", "data.observe_r1 is not set"),
        ],
    )
    def test_settings_that_would_break_the_order_are_refused(
        self, setting, message, cluster, compose, loaded
    ):
        from verl.trainer.ppo.utils import create_rl_dataset

        changed = compose(cluster, setting)
        with pytest.raises(ConfigError, match=message):
            create_rl_dataset(changed.data.train_files, changed.data, *loaded)


class TestCurriculum:
    def test_batches_climb_our_ladder_twice(self, config, dataset, cluster):
        stage = RLStage.build(plan_of(cluster)["stage"], "plan")
        ladder = build_curriculum(
            stage.curriculum, [without_images(s) for s in sums(24)], stage.seed
        )
        batches = [ids_of(batch) for batch in loader(config, dataset)]
        assert len(batches) == len(dataset) // 4 == 12
        expected = [[s.id for s in ladder.next_batch(4)] for _ in range(12)]
        assert batches == expected
        assert batches[0] == [f"sum-{n}" for n in range(4)]

    def test_what_training_shows_changes_the_order_and_a_resumed_run_goes_on(self, config, loaded):
        """Eight steps with observations, interrupted after the fifth and not: the same order."""
        import torch
        from verl.trainer.ppo.utils import create_rl_dataset

        from observe_r1.integrations.verl.live import LIVE

        def start():
            return create_rl_dataset(config.data.train_files, config.data, *loaded)

        def run(batches, steps, rng):
            seen = []
            for _ in range(steps):
                seen.append(ids_of(next(batches)))
                LIVE.curriculum.observe([solved(sample_id, rng) for sample_id in seen[-1]])
            return seen

        rng = random.Random(1)
        whole = run(iter(loader(config, start())), 8, rng)
        rng = random.Random(1)
        first = loader(config, start())
        begun = run(iter(first), 5, rng)
        saved = torch.load(save(first.state_dict()), weights_only=False)  # as verl saves it
        second = loader(config, start())
        second.load_state_dict(saved)
        resumed = run(iter(second), 3, rng)
        assert begun + resumed == whole
        assert whole[6] != whole[0]  # the second epoch is sorted anew by what was shown

    def test_one_by_one_the_order_is_the_same(self, config, loaded, cluster, compose):
        from verl.trainer.ppo.utils import create_rl_dataset

        alone = compose(cluster, "data.gen_batch_size=1").data
        dataset = create_rl_dataset(alone.train_files, alone, *loaded)
        batches = iter(loader(compose(cluster, "data.gen_batch_size=1"), dataset))
        assert [ids_of(next(batches))[0] for _ in range(8)] == [f"sum-{n}" for n in range(8)]


def solved(sample_id, rng):
    """A scored group of one question with a random share of right answers."""
    sample = next(s for s in sums(24) if s.id == sample_id)
    right = rng.randint(0, 4)
    texts = [f"<answer>{sample.answer if i < right else -1}</answer>" for i in range(4)]
    completions = tuple(Completion(text=text, token_ids=(1, 2)) for text in texts)
    return score_group(RolloutGroup(sample=sample, completions_G=completions), RLStage())


def save(state):
    import io

    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


class TestRewards:
    TEXT = "<observe>two numbers</observe><think>add them</think><answer>{}</answer>"

    def run(self, config, loaded, dataset, row, text, *, ends=True):
        """Through verl's own loader of reward managers and its own record of a completion."""
        import torch
        from tensordict import TensorDict
        from verl import DataProto
        from verl.trainer.ppo.reward import load_reward_manager

        tokenizer, _ = loaded
        manager = load_reward_manager(config, tokenizer)
        ids = tokenizer.encode(text, add_special_tokens=False) + [tokenizer.eos_token_id] * ends
        response, prompt = torch.tensor([ids]), torch.tensor([[1, 2]])
        mask = torch.ones(1, 2 + len(ids), dtype=torch.int64)
        tensors = {"prompts": prompt, "responses": response, "attention_mask": mask}
        others = {key: np.array([value] * 1, dtype=object) for key, value in dataset[row].items()}
        others["raw_prompt"] = np.empty(1, dtype=object)
        others["raw_prompt"][0] = dataset[row]["raw_prompt"]
        others["global_steps"] = np.array([3])
        data = DataProto(batch=TensorDict(tensors, batch_size=1), non_tensor_batch=others)
        result = asyncio.run(manager.run_single(data))
        return result["reward_score"], result["reward_extra_info"], len(ids)

    def test_every_part_comes_by_name(self, config, loaded, dataset):
        gold = dataset[0]["reward_model"]["ground_truth"]
        reward, facts, length = self.run(config, loaded, dataset, 0, self.TEXT.format(gold))
        assert reward == facts["score"] == 1.5
        assert facts["reward/accuracy"] == 1.0 and facts["reward/format"] == 0.5
        assert facts["acc"] == 1.0 and facts["pred"] == gold
        assert facts["num_tokens"] == length and facts["truncated"] == 0.0

    def test_wrong_and_cut_off(self, config, loaded, dataset):
        text = self.TEXT.format(-1) * 20
        reward, facts, length = self.run(config, loaded, dataset, 0, text, ends=False)
        assert reward == facts["acc"] == 0.0
        assert facts["truncated"] == float(length >= config.data.max_response_length) == 1.0

    def test_a_users_reward_sees_the_whole_sample(self, tmp_path, compose, loaded):
        from verl.trainer.ppo.utils import create_rl_dataset

        (tmp_path / "mine.py").write_text(
            "def seen(attempt):\n"
            "    sample = attempt.sample\n"
            "    return len(sample.images[0]) * 1.0 if sample.question and sample.images else 1 / 0\n"
        )
        user = f'rl.rewards=[{{type="user", path="{tmp_path}/mine.py:seen"}}]'
        config = compose(export(tmp_path, "rl.prompts_per_step=8", user))
        dataset = create_rl_dataset(config.data.train_files, config.data, *loaded)
        with_picture, without = 1, 0  # the rows of sum-22 and sum-23
        reward, _, _ = self.run(config, loaded, dataset, with_picture, "7")
        assert reward == len(sums(24)[1].images[0])
        reward, facts, _ = self.run(config, loaded, dataset, without, "7")
        assert reward == 0.0 and "reward 'seen' on sample 'sum-23', step 3" in facts["error"]


LOSSES = {
    "clipped": ("vanilla", ClippedLoss(clip_low=0.2, clip_high=0.28, truncated_importance=None)),
    "sequence_ratio": ("gspo", SequenceRatioLoss(clip_low=0.2, clip_high=0.28, truncated_importance=None)),
    "clipped_weight": ("cispo", ClippedWeightLoss(clip_low=0.2, clip_high=0.28, truncated_importance=None)),
}  # fmt: skip


class TestLosses:
    @pytest.mark.parametrize(
        "mode", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum-norm"]
    )
    @pytest.mark.parametrize("name", LOSSES)
    def test_value_and_gradient_are_those_of_verls_own(self, name, mode, config):
        """Where both can express a setting, and also over two GPUs with importance weights."""
        import torch
        from verl.trainer.ppo.core_algos import get_policy_loss_fn

        theirs, _ = LOSSES[name]
        actor = self.actor(config, mode)
        batch = self.batch(torch)
        if name == "sequence_ratio":  # verl spreads its gradient by token weights, we by length
            batch["rollout_is_weights"] = (
                batch["rollout_is_weights"][:, :1] * batch["response_mask"]
            )
        values, gradients = [], []
        for loss in (f"observe_r1_{name}", theirs):
            log_prob = batch["log_prob"].clone().requires_grad_()
            value, stats = get_policy_loss_fn(loss)(
                **{**batch, "log_prob": log_prob}, loss_agg_mode=mode, config=actor
            )
            value.backward()
            values.append(value.item())
            gradients.append(log_prob.grad)
            assert stats
        assert values[0] == pytest.approx(values[1], abs=1e-6)
        assert torch.allclose(gradients[0], gradients[1], atol=1e-7)
        assert float(gradients[0].abs().sum()) > 0

    @pytest.mark.parametrize("name", LOSSES)
    def test_it_is_the_loss_of_our_own_trainer(self, name, config):
        import torch
        from verl.trainer.ppo.core_algos import get_policy_loss_fn

        from observe_r1.losses import Denominators, LossInputs, compute_loss, token_coefficients

        actor = self.actor(config, "token-mean", dp_size=1, batch_num_tokens=None)
        batch = {**self.batch(torch), "rollout_is_weights": None}
        value, _ = get_policy_loss_fn(f"observe_r1_{name}")(
            **batch, loss_agg_mode="token-mean", config=actor
        )
        mask = batch["response_mask"]
        lengths = mask.sum(-1).tolist()
        whole = Denominators(num_tokens=sum(lengths), num_completions=4, max_new_tokens=6)
        shares = token_coefficients(lengths, [1.0] * 4, whole, "token_mean")
        rows = torch.arange(4).repeat_interleave(torch.tensor(lengths))
        inputs = LossInputs(
            logprobs_N=batch["log_prob"][mask], old_logprobs_N=batch["old_log_prob"][mask],
            advantages_N=batch["advantages"][mask], completion_N=rows,
            coefficients_N=torch.tensor(shares).repeat_interleave(torch.tensor(lengths)),
            entropy_N=torch.zeros(sum(lengths)),
        )  # fmt: skip
        _, ours = LOSSES[name]
        assert float(value) == pytest.approx(float(compute_loss(inputs, ours).loss), abs=1e-6)

    def test_an_aggregation_we_do_not_know_is_refused(self, config):
        import torch
        from verl.trainer.ppo.core_algos import get_policy_loss_fn

        batch = {**self.batch(torch), "rollout_is_weights": None}
        with pytest.raises(ValueError, match="loss_agg_mode is 'token-sum'"):
            get_policy_loss_fn("observe_r1_clipped")(
                **batch, loss_agg_mode="token-sum", config=self.actor(config, "token-sum")
            )

    @staticmethod
    def actor(config, mode, *, dp_size=2, batch_num_tokens=31):
        from dataclasses import replace

        from verl.utils.config import omega_conf_to_dataclass

        actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
        actor = replace(actor, clip_ratio_low=0.2, clip_ratio_high=0.28, loss_agg_mode=mode)
        actor.global_batch_info.update(
            dp_size=dp_size, batch_num_tokens=batch_num_tokens, global_batch_size=8 if dp_size > 1 else None,
            loss_scale_factor=6,
        )  # fmt: skip
        return actor

    @staticmethod
    def batch(torch):
        torch.manual_seed(0)
        mask = torch.arange(6)[None] < torch.tensor([6, 3, 5, 1])[:, None]
        old = -torch.rand(4, 6)
        return {
            "old_log_prob": old,
            "log_prob": old + 0.4 * torch.randn(4, 6),
            "advantages": torch.randn(4, 1) * mask,
            "response_mask": mask,
            "rollout_is_weights": torch.rand(4, 6) * mask,
        }


class TestAdvantage:
    def test_rows_in_any_order_fillers_among_them(self, config):
        import torch
        from verl import DataProto
        from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

        from observe_r1.integrations.verl.credit import Credit
        from observe_r1.integrations.verl.live import LIVE

        keys = ["b_1_0", "pad7_0_0", "a_0_0", "b_0_0"]
        LIVE.credits = {
            key: Credit(advantage=0.1 * n, reward=1.0, counts=True, num_tokens=2)
            for n, key in enumerate(keys, start=1)
            if not key.startswith("pad")
        }
        mask = torch.tensor([[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 0]])
        data = DataProto.from_dict(
            tensors={"token_level_rewards": torch.zeros(4, 3), "response_mask": mask},
            non_tensors={"uid": np.array(keys, dtype=object)},
        )
        data = compute_advantage_for_multi_trajectories(
            data, batch_keys=keys, adv_estimator="observe_r1", config=config.algorithm
        )
        expected = torch.tensor([[0.1, 0.1, 0], [0, 0, 0], [0.3, 0.3, 0.3], [0.4, 0, 0]])
        assert torch.allclose(data.batch["advantages"], expected, atol=1e-6)

    def test_kl_in_the_reward_costs_a_token_and_those_before_it(self, tmp_path, compose):
        import torch
        from verl.trainer.ppo.core_algos import get_adv_estimator_fn

        from observe_r1.integrations.verl.credit import Credit
        from observe_r1.integrations.verl.live import LIVE

        out = export(tmp_path, "--preset", "released", "rl.prompts_per_step=16")
        algorithm = compose(out).algorithm
        LIVE.credits = {"a_0_0": Credit(advantage=2.0, reward=1.7, counts=True, num_tokens=3)}
        kl = torch.tensor([[0.5, 0.25, 1.0, 0.0]]) * algorithm.kl_ctrl.kl_coef
        rewards = torch.tensor([[0.0, 0.0, 1.7, 0.0]]) - kl
        mask = torch.tensor([[1, 1, 1, 0]])
        advantages, _ = get_adv_estimator_fn("observe_r1")(
            token_level_rewards=rewards,
            response_mask=mask,
            index=np.array(["a_0_0"]),
            config=algorithm,
        )
        to_go = torch.tensor([[1.75, 1.25, 1.0, 0.0]]) * 0.01
        assert torch.allclose(advantages, (2.0 - to_go) * mask, atol=1e-6)

    def test_without_our_buffer_it_says_so(self):
        import torch
        from verl.trainer.ppo.core_algos import get_adv_estimator_fn

        from observe_r1.integrations.verl.live import LIVE

        LIVE.credits = {}
        with pytest.raises(TrainingError, match="row x_0_0 has no credit"):
            get_adv_estimator_fn("observe_r1")(
                token_level_rewards=torch.zeros(1, 2), response_mask=torch.ones(1, 2),
                index=np.array(["x_0_0"]), config=None,
            )  # fmt: skip


def test_asynchronous_trainers_are_refused(config):
    from observe_r1.integrations.verl.buffer import ObserveReplayBuffer

    sampler = config.trainer.v1.sampler
    with pytest.raises(ConfigError, match="Set it to sync"):
        ObserveReplayBuffer(
            trainer_mode="colocate_async", trainer_config={}, max_off_policy_threshold=8,
            max_off_policy_strategy="drop", sampler_kwargs=sampler.sampler_kwargs,
        )  # fmt: skip
