"""``observe-r1 data``: from any questions to a graded, mixed, documented ladder.

import ──▶ samples ──probe──▶ solve rates ──ladder──▶ ladder      build does all three
                                              ▲
                         review ── decisions ─┘
"""

from pathlib import Path
from typing import Annotated

import typer

from observe_r1.cli.console import finish, say
from observe_r1.cli.data_steps import (
    arrange_ladder,
    import_samples,
    is_imported,
    probe_samples,
    refuse_other_ladder,
)
from observe_r1.cli.sharing import Shard, Store, sharing_of

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
GrammarName = Annotated[
    str, typer.Option(help="Structure asked for; that of the recipe that is to be trained.")
]
ExtractFrom = Annotated[str, typer.Option(help="Where the answer is: tagged, boxed or plain.")]
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
    report = import_samples(request, request.options(out), out, force, held_out_of(out))
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
    grammar: GrammarName = "observe_think_answer",
    extract: ExtractFrom = "tagged",
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
    result = probe_samples(
        folder, model, config, endpoint or [], engine, direct_model, limit, sharing
    )
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
    finish(arrange_ladder(folder, out, config, decisions, run, seed, force), json)


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
    grammar: GrammarName = "observe_think_answer",
    extract: ExtractFrom = "tagged",
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

    probing = ProbeConfig.build(
        {
            "rollouts": rollouts,
            "grammar": grammar,
            "extract": extract,
            "sampling": Sampling(max_new_tokens=max_tokens),
            "direct": direct,
            "batch_size": 1 if endpoint else 16,
            "workers": 16 if endpoint else 1,
            "seed": seed,
        },
        "the probe",
    )
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
        refuse_other_ladder(out, samples)
    if not is_imported(samples, request, options, force):
        import_samples(request, options, samples, force, held_out_of(out))
    probe_samples(samples, model, probing, endpoint or [], "", None, None)
    finish(arrange_ladder(samples, out, arranging, None, None, seed, True), json)


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
