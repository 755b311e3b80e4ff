"""``observe-r1 data``: from any questions to a graded, mixed, documented ladder.

import ──▶ samples ──probe──▶ solve rates ──ladder──▶ ladder      build does all three
                                              ▲
                         review ── decisions ─┘
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from observe_r1.cli.console import finish, print_table, progress, say
from observe_r1.cli.sharing import (
    Shard,
    Sharing,
    Store,
    probe_together,
    sharing_of,
    still_missing,
)  # fmt: skip

if TYPE_CHECKING:
    from observe_r1.data.contamination import Fingerprints
    from observe_r1.data.imported import ImportRequest
    from observe_r1.data.importing import ImportReport
    from observe_r1.data.ladder import LadderConfig
    from observe_r1.data.store import SampleSet
    from observe_r1.probe import ProbeConfig, ProbeSummary
    from observe_r1.rollout.base import RolloutEngine

app = typer.Typer(
    name="data",
    help="Questions with images: import them, measure how hard they are, arrange them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Source = Annotated[str, typer.Argument(metavar="SRC", help="A file, a folder, a hub id, puzzles.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A data folder.")]
As = Annotated[
    str,
    typer.Option("--as", metavar="ADAPTER", help="Format of the source; a table: 'table'."),
]
Out = Annotated[Path, typer.Option(help="The data folder to write.")]
Model = Annotated[
    str, typer.Option(help="A checkpoint, or the built-in 'tiny'; at endpoints, their name for it.")
]
Json = Annotated[bool, typer.Option("--json", help="End with one JSON object.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what --out holds.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="FIELD=NAME", help="Columns of a table: question=problem."),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A column to keep for rewards, as sample.metadata[NAME]."),
]
Against = Annotated[
    list[str] | None,
    typer.Option(metavar="[ADAPTER:]PATH", help="Benchmarks whose questions must not be in it."),
]
Endpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        metavar="URL",
        help="OpenAI-compatible servers, sharing the work; OPENAI_API_KEY is sent.",
    ),
]
ShrinkImages = Annotated[
    int | None,
    typer.Option(
        "--shrink-images-to", min=784, metavar="PIXELS",
        help="Scale larger pictures down to so many pixels; 1,000,000 are some 1,300 tokens.",
    ),
]  # fmt: skip
HoldOut = Annotated[
    float,
    typer.Option(
        "--hold-out", min=0.0, max=0.9, metavar="SHARE",
        help="Keep this share apart in OUT-held-out, to measure on; 0.05 is one in twenty.",
    ),
]  # fmt: skip
Limit = Annotated[int | None, typer.Option(min=1, help="Read only so many rows.")]
Rollouts = Annotated[int, typer.Option(min=1, help="Reasoned rollouts a sample.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest rollout.")]
Size = Annotated[int | None, typer.Option(min=1, help="Samples in the ladder.")]


@app.command("import")
def import_(
    source: Source,
    out: Out,
    adapter: As = "",
    column: Columns = None,
    images: Annotated[Path | None, typer.Option(help="Where image paths lead.")] = None,
    against: Against = None,
    keep_overlaps: Annotated[
        bool, typer.Option("--keep-overlaps", help="List what benchmarks hold, but keep it.")
    ] = False,
    split_specials: Annotated[
        bool, typer.Option("--split-specials", help="Split control tokens instead of rejecting.")
    ] = False,
    shrink_images_to: ShrinkImages = None,
    metadata: Metadata = None,
    max_prompt_tokens: Annotated[int, typer.Option(min=1, help="Longest prompt.")] = 8192,
    max_answer_words: Annotated[
        int, typer.Option(min=1, help="Longest answer compared as text; others are rejected.")
    ] = 8,
    tokenizer: Annotated[
        str | None, typer.Option(help="A model whose tokenizer counts; estimated without.")
    ] = None,
    hold_out: HoldOut = 0.0,
    limit: Limit = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Any supported source → samples; every rejected row listed with its reason."""
    from observe_r1.data.imported import ImportRequest
    from observe_r1.data.importing import ImportConfig, held_out_of

    config = ImportConfig(
        overlaps="keep" if keep_overlaps else "exclude",
        special_tokens="split" if split_specials else "reject",
        shrink_images_to=shrink_images_to,
        max_prompt_tokens=max_prompt_tokens,
        max_answer_words=max_answer_words,
        metadata=tuple(metadata or ()),
        hold_out=hold_out,
        limit=limit,
    )
    request = ImportRequest(
        source=source, adapter=adapter, config=config, columns=column or [], images=images,
        against=against or [], tokenizer=tokenizer, seed=seed,
    )  # fmt: skip
    report = _import(request, request.options(out), out, force, held_out_of(out))
    finish({"out": str(out), "num_rows": report.num_rows, "rows": report.table()}, json)


@app.command()
def probe(
    folder: Folder,
    model: Model = "tiny",
    endpoint: Endpoints = None,
    engine: Annotated[
        str, typer.Option(help="shared_prefill or vllm; with --endpoint, servers.")
    ] = "",
    direct_model: Annotated[
        str | None, typer.Option(help="A smaller model for the direct answers.")
    ] = None,
    direct: Annotated[
        bool, typer.Option(help="First drop what is answered without reasoning.")
    ] = True,
    rollouts: Rollouts = 8,
    max_tokens: MaxTokens = 1024,
    temperature: Annotated[float, typer.Option(min=0.0, help="Of the rollouts.")] = 1.0,
    grammar: Annotated[str, typer.Option(help="Structure asked for.")] = "observe_think_answer",
    extract: Annotated[
        str, typer.Option(help="Where the answer is: tagged, boxed or plain.")
    ] = "tagged",
    concurrency: Annotated[
        int, typer.Option(min=1, help="Requests to each endpoint at a time.")
    ] = 16,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples a call of the engine.")] = 16,
    store: Store = None,
    shard: Shard = None,
    extra_at_ends: Annotated[
        int, typer.Option(min=0, help="More rollouts where all were right or all wrong.")
    ] = 0,
    limit: Limit = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """N rollouts a sample: how hard is each for a model? Stop and start it as you like."""
    from observe_r1.config.rollout import Sampling
    from observe_r1.probe import ProbeConfig

    config = ProbeConfig.build(
        {
            "rollouts": rollouts,
            "grammar": grammar,
            "extract": extract,
            "sampling": Sampling(temperature=temperature, max_new_tokens=max_tokens),
            "direct": direct,
            "extra_at_ends": extra_at_ends,
            "batch_size": 1 if endpoint else batch_size,
            "workers": concurrency * len(endpoint) if endpoint else 1,
            "seed": seed,
        },
        "the probe",
    )
    sharing = sharing_of(
        store,
        shard,
        beside=folder / "probe-work",
        at_least=config.batch_size,
        is_server=bool(endpoint),
    )
    result = _probe(folder, model, config, endpoint or [], engine, direct_model, limit, sharing)
    if not result.get("missing_blocks"):
        say(f"next: observe-r1 data ladder {folder} --out {folder}-ladder")
    finish(result, json)


@app.command()
def ladder(
    folder: Folder,
    out: Out,
    size: Size = None,
    mixing: Annotated[str, typer.Option(help="paper, proportional or none.")] = "paper",
    easy_cut: Annotated[
        float | None, typer.Option(help="Always-solved chains shorter than this are dropped.")
    ] = None,
    unsolved: Annotated[
        str, typer.Option(help="Never-solved samples: hold (for review), keep or drop.")
    ] = "hold",
    decisions: Annotated[
        Path | None, typer.Option(help="What 'data review' decided; DIR/decisions.jsonl without.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="A training run whose solve rates grade the samples anew.")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Samples and their probe → a ladder with its card and plots."""
    from observe_r1.data.ladder import LadderConfig

    settings = {"size": size, "mixing": mixing, "easy_cut": easy_cut, "unsolved": unsolved}
    config = LadderConfig.build(settings, "the ladder")
    finish(_ladder(folder, out, config, decisions, run, seed, force), json)


@app.command()
def build(
    source: Source,
    out: Out,
    adapter: As = "",
    model: Model = "tiny",
    column: Columns = None,
    images: Annotated[Path | None, typer.Option(help="Where image paths lead.")] = None,
    against: Against = None,
    endpoint: Endpoints = None,
    rollouts: Rollouts = 8,
    max_tokens: MaxTokens = 1024,
    direct: Annotated[
        bool, typer.Option(help="First drop what is answered without reasoning.")
    ] = True,
    size: Size = None,
    unsolved: Annotated[str, typer.Option(help="hold, keep or drop.")] = "hold",
    shrink_images_to: ShrinkImages = None,
    metadata: Metadata = None,
    hold_out: HoldOut = 0.0,
    limit: Limit = None,
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Import, probe and ladder in one: OUT/samples holds the first two, OUT the ladder.

    Run it again after a stop: what is imported and probed is not done twice. Samples that were
    imported otherwise, and a ladder of others, are replaced only with --force.
    """
    from observe_r1.config.rollout import Sampling
    from observe_r1.data.imported import ImportRequest
    from observe_r1.data.importing import ImportConfig, held_out_of
    from observe_r1.data.ladder import LadderConfig
    from observe_r1.probe import ProbeConfig

    probing = ProbeConfig(
        rollouts=rollouts, direct=direct, seed=seed, sampling=Sampling(max_new_tokens=max_tokens),
        batch_size=1 if endpoint else 16, workers=16 if endpoint else 1,
    )  # fmt: skip
    arranging = LadderConfig.build({"size": size, "unsolved": unsolved}, "the ladder")
    request = ImportRequest(
        source=source, adapter=adapter, columns=column or [],
        config=ImportConfig(
            limit=limit, shrink_images_to=shrink_images_to, hold_out=hold_out,
            metadata=tuple(metadata or ()),
        ),
        images=images, against=against or [], seed=seed,
    )  # fmt: skip
    samples, options = out / "samples", request.options(out)
    if not force:
        _refuse_other_ladder(out, samples)
    if not _is_imported(samples, request, options, force):
        _import(request, options, samples, force, held_out_of(out))
    _probe(samples, model, probing, endpoint or [], "", None, None)
    finish(_ladder(samples, out, arranging, None, None, seed, True), json)


@app.command()
def review(
    folder: Folder,
    out: Annotated[Path | None, typer.Option(help="The page; DIR/review.html without.")] = None,
    level: Annotated[
        int, typer.Option(min=0, max=8, help="Easiest level shown, beside what was never solved.")
    ] = 8,
    limit: Annotated[int, typer.Option(min=1, help="Questions on the page.")] = 200,
    json: Json = False,
) -> None:
    """A page with the hardest and most suspicious questions, to keep, fix or drop each."""
    from observe_r1.data.store import read_samples
    from observe_r1.probe.review import write_review

    path = out or folder / "review.html"
    num_shown = write_review(folder, read_samples(folder), path, level=level, limit=limit)
    say(f"wrote {path} with {num_shown} questions")
    if num_shown:
        say(f"open it, decide, save decisions.jsonl, and put it into {folder}")
        say(f"next: observe-r1 data ladder {folder} --out {folder}-ladder")
    else:
        say("none is as hard as that; --level shows easier ones")
    finish({"page": str(path), "questions": num_shown}, json)


def _import(
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


def _refuse_other_ladder(out: Path, samples: Path) -> None:
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


def _is_imported(
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


def _probe(
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


def _ladder(
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
