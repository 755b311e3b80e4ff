"""An evaluation by many workers: batches of questions through ``observe_r1.shared``.

The answers are those that one worker alone would give: a batch is answered from (seed, its number),
whoever takes it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from observe_r1.config.evaluation import Evaluation
from observe_r1.eval.run import (
    answer,
    check_refusals,
    claim_folder,
    fingerprint,
    is_answer,
    refuse_twins,
    score_folder,
    store_rows,
)  # fmt: skip
from observe_r1.eval.scores import Scores
from observe_r1.refusals import Refusals
from observe_r1.rollout.base import RolloutEngine
from observe_r1.shared import Block, BlockRows, Bucket, SharedWork, ShareSettings
from observe_r1.types import Sample


def shared_evaluation(
    samples: Sequence[Sample],
    config: Evaluation,
    bucket: Bucket,
    *,
    model: str,
    spool: Path,
    settings: ShareSettings,
) -> SharedWork:
    """This worker's part in one evaluation; a block is a batch of it."""
    refuse_twins(samples)
    # Answers begun before pictures could be scaled down have no word about it.
    as_published = {"shrink_images_to"} if config.shrink_images_to is None else None
    asked = config.model_dump(mode="json", exclude=as_published)
    asked |= {"model": model, "questions": fingerprint(samples)}
    return SharedWork(
        bucket,
        identity={"work": "evaluation", **asked},
        num_items=len(samples),
        target="answers",
        spool=spool,
        settings=settings.model_copy(update={"block_size": config.batch_size}),
    )


def work_on_evaluation(
    work: SharedWork,
    samples: Sequence[Sample],
    engine: RolloutEngine,
    config: Evaluation,
    tick: Callable[[int], None] = lambda done: None,
) -> int:
    """Answer batches until none is left; how many are still missing, in other hands."""
    job = f"evaluation '{config.name}'"
    refusals = Refusals(job, has_answers=work.has_finished_blocks)

    def do(block: Block, rows: BlockRows) -> Sequence[str]:
        if not any(map(is_answer, rows.before)):  # a batch is answered as a whole
            batch = list(samples[block.start : block.stop])
            found = answer(engine, batch, config, block.number)
            rows.add(found)
            check_refusals(refusals, found)
            if not refusals.has_answers:  # a finished block is final, and this is not believed yet
                return [sample.id for sample in batch]
        tick(block.stop - block.start)
        return ()

    missing = work.run(do, tick).missing
    if missing:
        refusals.check(at_end=True)
    return missing


def collect(
    work: SharedWork, samples: Sequence[Sample], config: Evaluation, out: Path, model: str
) -> Scores:
    """Predictions in the order of the questions, and their scores, as one worker writes them."""
    out.mkdir(parents=True, exist_ok=True)
    claim_folder(out, config, samples, model)
    for _, rows in work.results():
        store_rows(out, rows)
    return score_folder(out, samples, config, model)
