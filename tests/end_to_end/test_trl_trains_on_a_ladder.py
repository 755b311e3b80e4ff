"""The ladder folder is not only for our own loop: TRL's trainer takes it as it is."""

import pytest

from fakes import byte_processor, picture, tiny_model
from observe_r1.data.ladder import LadderConfig, build_ladder
from observe_r1.data.ladder_folder import write_ladder
from observe_r1.grading import grade
from observe_r1.types import Sample


def write_small_ladder(folder) -> None:
    samples = [
        Sample(
            id=f"s{i}", question=f"<image> How many? {'<image>' * (i % 2)}", answer="3", kind="number",
            images=(picture((30 * i, 60, 60)),) * (1 + i % 2), source="test",
            level=i % 8, solve_rate=1 - i % 8 / 8, complexity=10.0 + i,
        )
        for i in range(8)
    ]  # fmt: skip
    config = LadderConfig(easy_cut=0.0)
    write_ladder(folder, samples, build_ladder(samples, config=config), config, seed=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_grpo_trainer_trains_on_the_folder_in_ladder_order(tmp_path):
    datasets = pytest.importorskip("datasets")
    trl = pytest.importorskip("trl")
    write_small_ladder(tmp_path / "ladder")
    loaded = datasets.load_dataset(
        str(tmp_path / "ladder"), split="train", cache_dir=str(tmp_path / "cache")
    )
    seen: list[str] = []

    def correct(completions, answer, kind, id, **columns):
        seen.extend(id)
        texts = [completion[0]["content"] for completion in completions]
        graded = zip(texts, answer, kind, strict=True)
        return [float(grade(text, gold, kind=k).correct) for text, gold, k in graded]

    trainer = trl.GRPOTrainer(
        model=tiny_model(),
        processing_class=byte_processor(),
        reward_funcs=[correct],
        train_dataset=loaded,
        args=trl.GRPOConfig(
            output_dir=str(tmp_path / "out"), max_steps=2, per_device_train_batch_size=2,
            num_generations=2, max_completion_length=4, shuffle_dataset=False, use_cpu=True,
            report_to=[], save_strategy="no",
        ),
    )  # fmt: skip
    trainer.train()
    assert trainer.state.global_step == 2
    assert list(dict.fromkeys(seen)) == loaded["id"][: len(set(seen))]
