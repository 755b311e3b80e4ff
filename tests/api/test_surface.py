"""The public names, and how quickly and lightly they come."""

import json
import resource
import subprocess
import sys

import pytest

import observe_r1

HEAVY = ("torch", "transformers", "trl", "vllm", "datasets", "accelerate", "sympy", "pyarrow")


def heavy_modules_after(code: str) -> list[str]:
    """Which of the heavy packages a fresh interpreter has loaded after running ``code``."""
    report = f"{code}\nimport sys\nimport json; print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    answer = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout.splitlines()[-1])


def test_the_public_names():
    assert observe_r1.__all__ == [
        "Sample",
        "build_ladder",
        "evaluate",
        "grade",
        "load_recipe",
        "train",
    ]


@pytest.mark.parametrize("name", observe_r1.__all__)
def test_every_public_name_is_there(name):
    assert callable(getattr(observe_r1, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        observe_r1.nothing  # noqa: B018


def test_importing_the_package_loads_nothing_heavy():
    assert heavy_modules_after("import observe_r1") == []


def test_help_loads_nothing_heavy():
    code = "from observe_r1.cli.main import call; import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()): call(['--help'])"
    assert heavy_modules_after(code) == []


def test_listing_recipes_loads_no_deep_learning_stack():
    code = "from observe_r1.cli.main import call; import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()): call(['recipes'])"
    assert not {"torch", "transformers", "trl"} & set(heavy_modules_after(code))


def test_help_costs_little_more_than_the_library_it_is_written_with():
    ours, library = best_seconds(
        ["-m", "observe_r1.cli.main", "--help"], ["-c", "import typer, rich.console"]
    )
    assert ours < 3 * library


def test_importing_the_package_costs_less_than_that_library():
    ours, library = best_seconds(["-c", "import observe_r1"], ["-c", "import typer, rich.console"])
    assert ours < library


def best_seconds(*commands: list[str]) -> list[float]:
    """Processor time of each, the best of three, taken in turns: what else the machine does, and
    how fast it is, must not count."""
    seconds: list[list[float]] = [[] for _ in commands]
    for _ in range(3):
        for command, found in zip(commands, seconds, strict=True):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            found.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return [min(found) for found in seconds]


def test_train_is_a_function_and_a_package():
    from observe_r1 import train
    from observe_r1.train.schedule import learning_rate

    assert callable(train)
    assert callable(learning_rate)
    assert train.schedule.learning_rate is learning_rate
