"""What the data commands do, and say while they do it: import, probe, ladder."""

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from observe_r1.cli.console import print_table, progress, say
from observe_r1.cli.sharing import Sharing, probe_together, still_missing

if TYPE_CHECKING:
    from observe_r1.data.contamination import Fingerprints
    from observe_r1.data.imported import ImportRequest
    from observe_r1.data.importing import ImportReport
    from observe_r1.data.ladder import LadderConfig
    from observe_r1.data.store import SampleSet
    from observe_r1.probe import ProbeConfig, ProbeSummary
    from observe_r1.rollout.base import RolloutEngine


def import_samples(
    request: "ImportRequest", options: dict[str, Any], out: Path, force: bool, held_out: Path
) -> "ImportReport":
    from observe_r1.data.card import write_card
    from observe_r1.data.importing import import_rows
    from observe_r1.data.open_source import open_source, token_counter

    source, limit = request.source, request.config.limit
    rows, adapter = open_source(
        source, request.adapter, request.columns, limit=limit, seed=request.seed
    )
    known = _fingerprints(request.against)
    with progress("importing", None) as tick:

        def watched() -> Any:
            for row in rows:
                yield row
                tick()

        report = import_rows(
            watched(), adapter, out, request.config, against=known, image_folder=request.images,
            count_tokens=token_counter(request.tokenizer) if request.tokenizer else None,
            source=source, options=options, overwrite=force, held_out=held_out,
        )  # fmt: skip
    table = [*report.table().items(), ("rows in all", report.num_rows)]
    print_table(f"{adapter.title}: what became of each row", ("", "rows"),
                [(name, f"{count:,}") for name, count in table])  # fmt: skip
    for note, count in report.notes.items():
        say(f"note: {note}: {count:,}")
    write_card(out)
    say(f"wrote {out}")
    if request.config.hold_out:
        write_card(held_out)
        say(
            f"wrote {held_out}: measure on it, afterwards with 'observe-r1 eval RUN --data "
            f"{held_out}' or while training with heldout.data={held_out} rl.eval_every=20"
        )
    if report.rejected:
        say(f"why each row was rejected: {out / 'rejected.jsonl'}")
    return report


def refuse_other_ladder(out: Path, samples: Path) -> None:
    """A ladder is built anew from the samples inside its own folder; any other stays."""
    from observe_r1.errors import DataError
    from observe_r1.records import read_json

    history = out / "ladder.json"
    if not history.exists() and not any((out / "data").glob("train-*.parquet")):
        return
    there = read_json(history) if history.exists() else {}
    of_samples = Path(there.get("source", "")).name == samples.name
    has_samples = (samples / "ladder.json").exists()
    if there.get("made_by") != "data ladder" or not (of_samples and has_samples):
        raise DataError(
            f"{out} is a data folder that 'data build' has not made, and nothing is overwritten. "
            "Choose another --out, or give --force to replace it."
        )


def is_imported(
    folder: Path, request: "ImportRequest", options: dict[str, Any], force: bool
) -> bool:
    """Whether the folder holds what would be imported. Other samples are not taken for it: they are
    refused or, with ``force``, deleted with their probe, whose rows go by the same ids."""
    from observe_r1.data.imported import imported_otherwise
    from observe_r1.errors import DataError

    if not (folder / "ladder.json").exists():
        return False
    changed = imported_otherwise(folder, request, options)
    if changed and not force:
        raise DataError(
            f"{folder} holds samples that were imported otherwise:\n  " + "\n  ".join(changed) +
            "\nChoose another --out, or give --force to delete them and their probe and begin anew."
        )  # fmt: skip
    if changed:
        shutil.rmtree(folder)
    return not changed


def _fingerprints(against: Sequence[str]) -> "Fingerprints | None":
    if not against:
        return None
    from observe_r1.data.contamination import Fingerprints
    from observe_r1.data.open_source import benchmark_samples

    known = Fingerprints(names=against)
    for name in against:
        bad: Counter[str] = Counter()
        questions = pictures = 0
        for sample in benchmark_samples(name, on_bad=lambda row, bad=bad: bad.update([row.reason])):
            known.add(sample)
            questions, pictures = questions + 1, pictures + len(sample.images)
        say(f"comparing with {name}: {questions:,} questions and {pictures:,} pictures")
        for reason, count in bad.most_common():
            say(f"note: not compared with, {reason}: {count:,}")
    return known


def probe_samples(
    folder: Path,
    model: str,
    config: "ProbeConfig",
    endpoints: list[str],
    engine_type: str,
    direct_model: str | None,
    limit: int | None,
    sharing: Sharing | None = None,
) -> dict[str, Any]:
    from observe_r1.data.store import read_samples

    samples = read_samples(folder)
    samples = samples[:limit] if limit else samples
    with ExitStack() as opened:
        name, engine = _open(opened, model, engine_type, endpoints, config.workers)
        smaller_name, smaller = (
            _open(opened, direct_model, engine_type, [], 1) if direct_model else (None, None)
        )
        identity = config.identity(name, smaller_name)
        probing = (samples, engine, config, identity, folder / "probe", smaller)
        if sharing is None:
            summary, missing = _probe_alone(*probing), 0
        else:
            summary, missing = probe_together(sharing, *probing)
    if missing:
        say(still_missing(missing, summary.failed))
        return {"missing_blocks": missing, "failed": len(summary.failed)}
    return _show_probe(folder, summary)


def _probe_alone(
    samples: "SampleSet", engine: "RolloutEngine", config: "ProbeConfig",
    identity: dict[str, Any], folder: Path, smaller: "RolloutEngine | None",
) -> "ProbeSummary":  # fmt: skip
    from observe_r1.errors import EngineError
    from observe_r1.probe import ProbeStore
    from observe_r1.probe import probe as run_probe

    stages = 2 if config.direct else 1
    with (
        ProbeStore(folder, identity) as store,
        progress("probing", stages * len(samples)) as tick,
    ):
        summary = run_probe(
            samples, engine, config, store, direct_engine=smaller,
            on_progress=lambda stage, done: tick(done, stage),
        )  # fmt: skip
    if summary.last_failure and not summary.num_groups:
        raise EngineError(f"nothing could be asked: {summary.last_failure}")
    return summary


def _show_probe(folder: Path, summary: "ProbeSummary") -> dict[str, Any]:
    from observe_r1.errors import EngineError
    from observe_r1.probe import read_results, write_difficulty

    results = read_results(folder / "probe")
    refused = list(results.refused.items())
    if refused and not (results.difficulty or results.answered_directly):
        raise EngineError(
            f"nothing could be probed: the server refused {len(refused):,} questions, for example "
            f"{refused[0][0]} with: {refused[0][1]} Put the model or the settings right, move "
            f"{folder / 'probe'} away, and run the same command again."
        )
    summed_up = write_difficulty(folder / "probe", results)
    levels = [difficulty.level for difficulty in results.difficulty.values()]
    print_table("Samples by difficulty level", ("level", "samples"),
                [(str(level), f"{levels.count(level):,}") for level in range(9)])  # fmt: skip
    say(f"answered directly and dropped: {len(results.answered_directly):,}")
    if summary.failed:
        say(f"not probed, the engine failed: {len(summary.failed):,}, the last time with: "
            f"{summary.last_failure} Run the command again.")  # fmt: skip
    if refused:
        say(f"not wholly probed, the server refused them: {len(refused):,}, for example "
            f"{refused[0][0]} with: {refused[0][1]}")  # fmt: skip
    say(f"wrote {summed_up}; the rollouts are beside it")
    return {
        "probe": str(folder / "probe"),
        "difficulty": str(summed_up),
        "new_rollouts": summary.num_rollouts,
        "probed": len(levels),
        "answered_directly": len(results.answered_directly),
        "failed": len(summary.failed),
        "refused": len(refused),
        "levels": [levels.count(level) for level in range(9)],
    }


def _open(
    opened: ExitStack, model: str, engine_type: str, endpoints: list[str], concurrency: int
) -> tuple[str, "RolloutEngine"]:
    """The name that answers are stored under, and the engine; closed with ``opened``."""
    from observe_r1.rollout.endpoint import EndpointEngine
    from observe_r1.stages.engines import engine_config, open_engine
    from observe_r1.stages.models import locate_model

    config = engine_config(engine_type, model, endpoints, concurrency=concurrency)
    engine = opened.enter_context(open_engine(model, config))
    return engine.model if isinstance(engine, EndpointEngine) else locate_model(model), engine


def arrange_ladder(
    folder: Path,
    out: Path,
    config: "LadderConfig",
    decisions: Path | None,
    run: Path | None,
    seed: int,
    force: bool,
) -> dict[str, Any]:
    from observe_r1.data.ladder import HELD, OUTCOMES, build_ladder
    from observe_r1.data.ladder_folder import write_ladder
    from observe_r1.data.regrading import regrade_by_run
    from observe_r1.errors import DataError
    from observe_r1.probe.review import read_reviewed

    reviewed = read_reviewed(folder, decisions)
    difficulty = reviewed.difficulty
    if run:
        difficulty = regrade_by_run(reviewed.samples, run, difficulty)
    arranged = build_ladder(
        reviewed.samples, difficulty, config, seed=seed,
        answered_directly=reviewed.answered_directly, decisions=reviewed.decisions,
    )  # fmt: skip
    table = arranged.table()
    print_table("What became of each sample", ("", "samples"),
                [(name, f"{count:,}") for name, count in table.items() if count])  # fmt: skip
    if not len(arranged):
        raise DataError(
            f"No sample of {folder} is left for a ladder; see the table above. Those held are "
            f"decided on with 'observe-r1 data review {folder}', or taken with --unsolved keep; "
            "those not probed need 'observe-r1 data probe'."
        )
    card = write_ladder(
        out, reviewed.samples, arranged, config, seed=seed, source=str(folder),
        probe=reviewed.probe, overwrite=force,
    )  # fmt: skip
    say(f"wrote {card}")
    if table[OUTCOMES[HELD]]:
        say(f"held for review: observe-r1 data review {folder}, then this command again")
    say(f"next: observe-r1 train observe_r1 --data {out} --model M --out runs/first")
    return {"out": str(out), "samples": len(arranged), "outcomes": table}
