"""The terminal view: plots, findings and the latest group, and nothing a terminal would obey."""

from pathlib import Path

from rich.console import Console

from observe_r1.report.index import open_index
from observe_r1.report.run import open_run
from observe_r1.report.terminal import colour, plot, render_run


def drawn(folder: Path) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        run = open_run(folder)
        console.print(render_run(run, open_index(run.rollouts)))
    return console.export_text()


def test_a_curve_in_blocks() -> None:
    assert plot([0.0, 0.5, 1.0], width=3, height=1).plain.splitlines()[0] == "▁▅█"
    assert plot([0.0, 1.0], width=2, height=2).plain.splitlines()[:2] == [" █", "▁█"]


def test_long_curves_are_means_over_spans() -> None:
    assert plot([0.0, 1.0] * 50, width=10, height=1).plain.splitlines()[0] == "▅" * 10


def test_a_flat_curve_is_drawn() -> None:
    drawn = plot([0.5] * 3, width=3).plain
    assert "▁▁▁" in drawn and "now 0.5" in drawn


def test_curves_findings_and_the_latest_group_are_shown(good_run: Path) -> None:
    text = drawn(good_run)
    for wanted in (
        "Finished: 24 steps.",
        "accuracy",
        "rewards/format",
        "Is it healthy?",
        "Latest group: step 24",
        "gold:",
        "<observe>",
    ):
        assert wanted in text


def test_sections_are_coloured_even_when_unclosed() -> None:
    text = colour("<observe>x</observe><think>y")
    styles = [(span.start, span.end, span.style) for span in text.spans]
    assert styles == [(0, 20, "blue"), (20, 28, "magenta")]


def test_a_hostile_run_sends_no_control_sequences(hostile_run: Path) -> None:
    text = drawn(hostile_run)
    assert not {"\x1b", "\x07", "\x00", "\u202e", "\ud800"} & set(text)
