import pytest

from observe_r1.config.stages import RLStage
from observe_r1.recipes.plan.devices import Measured, find_gpu
from observe_r1.recipes.plan.report import advice, as_json, make_plan, overrides_of, variants
from observe_r1.recipes.plan.shapes import find_shape
from observe_r1.recipes.plan.workload import Lengths

THREE, SEVEN = find_shape("Qwen2.5-VL-3B"), find_shape("Qwen2.5-VL-7B")
H100 = find_gpu("H100")
LENGTHS = Lengths(text=160, image=1024, completion=500, longest=2000)


def stage(**changes) -> RLStage:
    values = {
        "prompts_per_step": 128, "group_size": 8, "sampling": {"max_new_tokens": 8192},
        "policy": {"dtype": "bfloat16", "gradient_checkpointing": True},
        "optimizer": {"updates_per_rollout": 16}, "engine": {"type": "vllm"},
    }  # fmt: skip
    return RLStage.build(values | changes, "test")


def planned(gpus=8, shape=THREE, device=H100, lengths=LENGTHS, **changes):
    return make_plan(stage(**changes), shape, device, gpus=gpus, lengths=lengths)


def test_full_training_of_three_billion_on_eight_gpus_is_sharded_and_fits():
    plan = planned()
    assert plan.layout.sharded
    assert plan.fits
    assert plan.memory.parts["optimizer"] == pytest.approx(12 * THREE.parameters / 8 / 1e9)


def test_full_training_of_seven_billion_does_not_fit_on_one_gpu_and_adapters_do():
    plan = planned(gpus=1, shape=SEVEN)
    assert not plan.fits
    assert plan.memory.total > 18 * SEVEN.parameters / 1e9
    best = variants(plan, SEVEN, H100)[0]
    assert best.fits
    assert best.settings["trained"] == "adapters"
    changes = overrides_of(best, plan.stage)
    assert "rl.policy.lora={rank=64,alpha=128}" in changes
    assert "rl.policy.freeze_vision=true" in changes


def test_twice_the_gpus_take_less_time_but_not_less_than_half():
    seconds = {gpus: planned(gpus=gpus).seconds for gpus in (4, 8)}
    assert seconds[8] < seconds[4] < 2 * seconds[8] * 1.001


def test_the_tokens_of_a_step_do_not_depend_on_the_machine():
    one, other = planned(gpus=1), planned(gpus=16)
    assert one.tokens == other.tokens
    assert one.tokens == {
        "prompt": 128 * 1184, "generated": 1024 * 500, "trained": 128 * (1184 + 8 * 500)
    }  # fmt: skip


def test_two_machines_send_more_slowly_than_one():
    one, two = planned(gpus=8), planned(gpus=16)
    assert two.layout.nodes == 2
    per_row = [plan.phases["communication"] / plan.work.rows for plan in (one, two)]
    assert per_row[1] > 5 * per_row[0]


def test_checkpointing_trades_time_for_memory():
    lengths = Lengths(text=160, image=0, completion=1000)
    kept = planned(policy={"dtype": "bfloat16"}, lengths=lengths)
    recomputed = planned(lengths=lengths)
    assert recomputed.memory.parts["activations"] < kept.memory.parts["activations"] / 5
    assert recomputed.phases["forward"] == pytest.approx(2 * kept.phases["forward"])


def test_groups_without_a_signal_cost_no_update():
    all_groups, half = (
        make_plan(stage(), THREE, H100, gpus=8, lengths=LENGTHS, trained_share=share)
        for share in (1.0, 0.5)
    )
    assert half.phases["backward"] == pytest.approx(all_groups.phases["backward"] / 2)
    assert half.phases["decode"] == all_groups.phases["decode"]


def test_a_kl_term_needs_a_reference_in_memory_and_time():
    without, with_kl = planned(), planned(loss={"type": "clipped", "kl": {"coefficient": 0.01}})
    assert "reference" not in without.phases
    assert with_kl.phases["reference"] > 0
    more = with_kl.memory.total - without.memory.total
    assert more == pytest.approx(2 * THREE.parameters / 1e9)


def test_frozen_vision_is_neither_moved_nor_kept():
    frozen = {"dtype": "bfloat16", "freeze_vision": True, "freeze_aligner": True}
    plan, trained = planned(policy=frozen), planned(policy={"dtype": "bfloat16"})
    assert plan.trained == THREE.language_parameters
    assert plan.phases["backward"] < trained.phases["backward"]
    assert plan.memory.parts["activations"] < trained.memory.parts["activations"]


def test_variants_never_change_the_rollouts_and_the_fitting_come_first():
    found = variants(planned(), THREE, H100)
    assert len(found) == 24
    assert {(v.stage.prompts_per_step, v.stage.group_size) for v in found} == {(128, 8)}
    fits = [v.fits for v in found]
    assert fits == sorted(fits, reverse=True)
    fitting = [v.seconds for v in found if v.fits]
    assert fitting == sorted(fitting)


def test_the_advice_names_the_slowest_phase():
    plan = planned(engine={"type": "shared_prefill"})
    slowest = max(plan.phases, key=plan.phases.get)
    assert slowest == "decode"
    assert "use vLLM" in advice(plan)
    assert as_json(plan)["step_seconds"] == pytest.approx(sum(plan.phases.values()))


def test_a_measured_machine_reads_its_grid_and_computes_one_thing_after_the_other():
    device = Measured(
        memory_gb=24, threads=2, rows=(1, 100), sides=(10, 1000),
        products=((1e-6, 1e-4), (1e-5, 1e-2)), numbers=(10, 1000), moves=(1e-6, 1e-4),
        attention_flops=1e9, layer_seconds=1e-4, backward_layer_seconds=1e-4,
        decode_layer_seconds=1e-4,
    )  # fmt: skip
    assert device.product(1, 10, 10, 4) == pytest.approx(1e-6)
    assert device.product(10, 10, 10, 4) == pytest.approx(10**-5.5)  # half way in logarithms
    assert device.product(100, 1000, 1000, 4) == pytest.approx(1e-2)
    assert device.move(100_000, 4) == pytest.approx(1e-2)  # goes on as its last piece does
    tiny = find_shape("tiny")
    plan = make_plan(stage(engine={"type": "shared_prefill"}), tiny, device, lengths=LENGTHS)
    slower = device.model_copy(update={"layer_seconds": 1.0})
    other = make_plan(stage(engine={"type": "shared_prefill"}), tiny, slower, lengths=LENGTHS)
    added = other.phases["forward"] - plan.phases["forward"]
    rows = 128 * 2  # forward twice, with checkpointing
    assert added == pytest.approx(rows * (4 + 3) * (1.0 - 1e-4))
    shared = device.model_copy(update={"widths": (10, 1000), "shares": {"decode": (0.25, 0.25)}})
    parts = make_plan(stage(engine={"type": "shared_prefill"}), tiny, shared, lengths=LENGTHS)
    times = {name: parts.phases[name] / seconds for name, seconds in plan.phases.items()}
    assert times == {name: pytest.approx(4.0 if name == "decode" else 1.0) for name in times}


def test_pieces_score_whole_bundles_and_blocks_do_not():
    device = Measured(
        memory_gb=24, threads=2, rows=(1, 100), sides=(10, 1000),
        products=((1e-12, 1e-12), (1e-12, 1e-12)), numbers=(10, 1000), moves=(1e-12, 1e-12),
        attention_flops=1e9, layer_seconds=0.0, backward_layer_seconds=0.0,
        decode_layer_seconds=0.0,
    )  # fmt: skip
    lengths = Lengths(text=64, image=0, completion=9, longest=9)

    def forward(kernel):
        asked = stage(group_size=8, policy={"attention": kernel, "gradient_checkpointing": False})
        return make_plan(asked, find_shape("tiny"), device, lengths=lengths).phases["forward"]

    # 64 tokens hold 8 completions of which 8 tokens are fed: one bundle, 72 tokens seen beside.
    prompt, answers = 64 * 64 / 2, 8 * 9
    in_blocks, in_pieces = prompt + answers * (64 + 9 / 2), prompt + answers * (64 + 9 * 8)
    assert forward("pieces") / forward("blocks") == pytest.approx(in_pieces / in_blocks, rel=1e-3)
    assert forward("auto") == forward("pieces")  # it is no GPU
