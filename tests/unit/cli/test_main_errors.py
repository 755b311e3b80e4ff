"""What a user sees when something is wrong: one message on stderr, exit status 2, no traceback."""

import errno

import pytest
import typer

from observe_r1.cli import main
from observe_r1.cli.console import Stopped
from observe_r1.errors import DataError


def outcome_of(error: BaseException, monkeypatch, capsys) -> tuple[int, str]:
    def fail() -> None:
        raise error

    app = typer.Typer()
    app.command("fail")(fail)
    app.command("other")(fail)
    monkeypatch.setattr(main, "app", app)
    status = main.call(["fail"])
    return status, capsys.readouterr().err


def test_a_users_mistake(monkeypatch, capsys):
    status, shown = outcome_of(DataError("there is no folder x. Make one."), monkeypatch, capsys)
    assert (status, shown) == (2, "observe-r1: there is no folder x. Make one.\n")


def test_a_full_disk(monkeypatch, capsys):
    error = OSError(errno.ENOSPC, "No space left on device", "runs/a/metrics.jsonl")
    status, shown = outcome_of(error, monkeypatch, capsys)
    assert status == 2
    assert "the disk is full (runs/a/metrics.jsonl)" in shown


def test_a_folder_that_may_not_be_written(monkeypatch, capsys):
    status, shown = outcome_of(PermissionError(errno.EACCES, "denied", "x"), monkeypatch, capsys)
    assert status == 2
    assert "no permission" in shown


def test_a_missing_optional_package_says_how_to_install_it(monkeypatch, capsys):
    error = ModuleNotFoundError("No module named 'trl'", name="trl.core")
    status, shown = outcome_of(error, monkeypatch, capsys)
    assert status == 2
    assert "pip install 'observe-r1[train]'" in shown


class SafetensorError(Exception):
    """Named as the one of safetensors, which tells a full disk only in words."""


def test_weights_that_cannot_be_written_or_read(monkeypatch, capsys):
    full = SafetensorError("Error while serializing: I/O error: No space left (os error 28)")
    assert "the disk is full" in outcome_of(full, monkeypatch, capsys)[1]
    status, shown = outcome_of(SafetensorError("header too small"), monkeypatch, capsys)
    assert status == 2
    assert "a weights file is broken: header too small" in shown


class OutOfMemoryError(RuntimeError):
    """Named as the one of torch."""


def test_a_gpu_without_memory_says_what_takes_less(monkeypatch, capsys):
    error = OutOfMemoryError("CUDA out of memory. Tried to allocate 77.00 GiB. GPU 0 has …")
    status, shown = outcome_of(error, monkeypatch, capsys)
    assert status == 2
    assert "run out of memory: CUDA out of memory. Tried to allocate 77.00 GiB" in shown
    assert "engine.max_sequences" in shown


def test_our_own_mistakes_keep_their_traceback(monkeypatch, capsys):
    with pytest.raises(ModuleNotFoundError):
        outcome_of(ModuleNotFoundError("x", name="observe_r1.nothing"), monkeypatch, capsys)
    with pytest.raises(ZeroDivisionError):
        outcome_of(ZeroDivisionError(), monkeypatch, capsys)


def test_a_stopped_run_says_how_to_go_on(monkeypatch, capsys):
    status, shown = outcome_of(Stopped("Go on with: x --resume"), monkeypatch, capsys)
    assert (status, shown) == (130, "observe-r1: stopped. Go on with: x --resume\n")


def test_any_other_interrupt_is_no_traceback_either(monkeypatch, capsys):
    status, shown = outcome_of(KeyboardInterrupt(), monkeypatch, capsys)
    assert status == 130
    assert "stopped" in shown


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["train", "grpo", "--nope"]])
def test_a_command_that_does_not_exist_or_lacks_something(arguments, capsys):
    assert main.call(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
