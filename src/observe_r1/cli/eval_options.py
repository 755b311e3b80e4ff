"""What ``observe-r1 eval`` can be told, a name an option."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="A checkpoint or run folder, a hub name, or 'tiny'.")]
Out = Annotated[Path, typer.Option(help="The folder to write.")]

# What is asked.
Data = Annotated[str | None, typer.Option(help="A data folder, or the held-out 'puzzles'.")]
BenchmarkName = Annotated[
    str | None,
    typer.Option(help="A published benchmark: mathvision, mathvista …, or lmms:TASK (lmms-eval)."),
]
Source = Annotated[
    str | None,
    typer.Option(help="The benchmark's files: a folder, a file, or a hub name."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many questions.")]
ShrinkImages = Annotated[
    int | None,
    typer.Option(
        "--shrink-images-to", min=784, metavar="PIXELS",
        help="Scale the benchmark's larger pictures down, as they were for training.",
    ),
]  # fmt: skip
TrainingData = Annotated[
    str | None, typer.Option(help="Look for the questions in this training data first.")
]

# How answers are drawn and read.
Samples = Annotated[int, typer.Option(min=0, help="Sampled answers a question; 0: greedy only.")]
Greedy = Annotated[bool, typer.Option(help="Measure the most probable answer too.")]
GrammarName = Annotated[str | None, typer.Option(help="Tags that are asked for.")]
Extract = Annotated[
    str | None, typer.Option(help="Where the answer stands: tagged, boxed or plain.")
]
SystemPrompt = Annotated[
    str | None, typer.Option(help="Instead of the grammar's own; '' for none.")
]
Temperature = Annotated[float | None, typer.Option(min=0)]
MaxNewTokens = Annotated[int | None, typer.Option(min=1)]
BatchSize = Annotated[int, typer.Option(min=1, help="Questions answered at once.")]
Seed = Annotated[int, typer.Option(help="Start of the random numbers.")]

# What computes them.
EngineName = Annotated[str, typer.Option(help="shared_prefill or vllm; with --endpoint, servers.")]
Endpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint",
        "--base-url",
        metavar="URL",
        help="OpenAI-compatible servers, sharing the work; OPENAI_API_KEY is sent.",
    ),
]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests to each endpoint at a time.")]

# Who reads them where a benchmark's own scoring asks a language model.
JudgeUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="OpenAI-compatible server of a model that reads answers, for benchmarks whose own "
        "scoring asks one.",
    ),
]
JudgeModel = Annotated[
    str, typer.Option(help="The judging model's name there; the first it lists without.")
]
JudgeKeyVariable = Annotated[
    str,
    typer.Option(metavar="NAME", help="Environment variable that holds the judge's key, if any."),
]
AsJson = Annotated[bool, typer.Option("--json", help="End with one JSON object.")]
