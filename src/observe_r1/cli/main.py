"""``observe-r1``: the verbs, and what happens when one of them fails.

A user's mistake is one message on stderr and exit status 2, never a traceback. A traceback means
a mistake of ours.
"""

import errno
import os
import re
import sys
from importlib import import_module
from typing import Annotated, Any, cast

import typer

from observe_r1.cli.console import Stopped, complain
from observe_r1.errors import ObserveError
from observe_r1.process import settle_process

app = typer.Typer(
    name="observe-r1",
    help="Train vision-language models to reason, easy to hard, with reinforcement learning on "
    "answers that can be checked.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ClickException = cast(type[Exception], typer.BadParameter.__mro__[2])
"""Newer versions of Typer carry a click of their own: what it raises is reached through Typer."""

USER_ERROR = 2
INTERRUPTED = 130

EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "transformers": "train",
    "trl": "train",
    "peft": "train",
    "accelerate": "train",
    "datasets": "train",
    "safetensors": "train",
    "tokenizers": "train",
    "vllm": "vllm",
    "verl": "verl",
    "ray": "verl",
    "lmms_eval": "eval",
}
"""Which extra of this package brings which optional one."""


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"observe-r1 {version('observe-r1')}")
        raise typer.Exit()


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


VERBS = [
    ("demo", "demo", "demo"),
    ("doctor", "doctor", "doctor"),
    ("recipes", "recipes", "recipes"),
    ("data", "data", "app"),
    ("train", "train", "train"),
    ("eval", "eval", "eval_command"),
    ("report", "report", "report"),
    ("view", "report", "view"),
    ("compare", "report", "compare"),
    ("reproduce", "reproduce", "reproduce"),
    ("export", "export", "app"),
    ("plan", "plan", "plan"),
]
"""Verb, module, and what in it is the command or the group of commands."""


def _mount() -> None:
    """Every verb, in the order in which ``--help`` lists them."""
    for verb, module, name in VERBS:
        try:
            commands = import_module(f"observe_r1.cli.{module}")
        except ModuleNotFoundError as error:
            if error.name != f"observe_r1.cli.{module}":
                raise
            continue
        command = getattr(commands, name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=verb)
        else:
            app.command(verb)(command)


def run(arguments: list[str] | None = None) -> None:
    """Entry point: run a command and end the process with its status."""
    sys.exit(call(arguments))


def call(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status."""
    settle_process()
    try:
        status = app(args=arguments, standalone_mode=False)
    except Stopped as stopped:
        return _interrupted(str(stopped))
    except (typer.Abort, KeyboardInterrupt):
        return _interrupted()
    except typer.Exit as error:
        return error.exit_code
    except ClickException as error:
        cast(Any, error).show(sys.stderr)
        return USER_ERROR
    except ObserveError as error:
        return _refuse(str(error))
    except ModuleNotFoundError as error:
        return _refuse(_missing_package(error))
    except OSError as error:
        return _refuse(_disk_problem(error))
    except Exception as error:  # torch's and safetensors' own: naming them would load them
        return _refuse(_memory_problem(error) or _weights_problem(error))
    if status == INTERRUPTED:  # how newer versions of Typer report Ctrl-C
        return _interrupted()
    return status if isinstance(status, int) else 0


def _refuse(message: str) -> int:
    complain(f"observe-r1: {message}")
    return USER_ERROR


def _interrupted(advice: str = "What was written stays; run the same command again.") -> int:
    complain(f"observe-r1: stopped. {advice}")
    return INTERRUPTED


def _missing_package(error: ModuleNotFoundError) -> str:
    """Re-raises when the missing module is not one of the optional ones: then the fault is ours."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        raise error
    return (
        f"this command needs the package '{package}', which is not installed. Install it with: "
        f"pip install 'observe-r1[{EXTRAS[package]}]'"
    )


def _disk_problem(error: OSError) -> str:
    """Re-raises what is not about a user's file, folder or disk."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"the disk is full{where}. Free some space and run the same command again."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to write or read{where}. Choose another folder."
    if error.errno in (errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.ENAMETOOLONG):
        return f"{error.strerror}{where}."
    if error.errno in (errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.EIO):
        return f"{error.strerror}{where}."
    raise error


def _memory_problem(error: Exception) -> str | None:
    """A GPU that ran out of memory outside an update, which would have tried with less first."""
    if type(error).__name__ != "OutOfMemoryError":
        return None
    said = ". ".join(str(error).split(". ")[:2])
    return (
        f"the GPU has run out of memory: {said}. What was written stays. While sampling, lower "
        "STAGE.engine.max_sequences or STAGE.sampling.max_new_tokens (eval and probe: --batch-size "
        "and --max-new-tokens); in supervised stages STAGE.examples_per_pass; where the model is "
        "too large itself, train adapters (STAGE.policy.lora={}) or use more GPUs. 'observe-r1 "
        "plan' says what fits."
    )


def _weights_problem(error: Exception) -> str:
    """Weights that cannot be written or read; re-raises everything else."""
    if type(error).__name__ != "SafetensorError":
        raise error
    number = re.search(r"os error (\d+)", str(error))
    if number is not None:
        return _disk_problem(OSError(int(number[1]), os.strerror(int(number[1]))))
    return f"a weights file is broken: {error}. Take an older checkpoint, or copy it again."


_mount()

if __name__ == "__main__":
    run()
