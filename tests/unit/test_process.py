"""What a process does with freed memory, seen in the pages that the system hands it."""

import platform
import subprocess
import sys

import pytest

from observe_r1.process import keep_freed_memory

STEPS = """
import resource, sys
from observe_r1.process import settle_process

if sys.argv[1] == "settled":
    settle_process()

def step():
    blocks = [bytearray(b"x") * (40 * 2**20) for _ in range(3)]

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

step()
before = pages()
for _ in range(4):
    step()
print(pages() - before)
"""


def pages_of_steps(*, settled: bool) -> int:
    command = [sys.executable, "-c", STEPS, "settled" if settled else "plain"]
    return int(subprocess.check_output(command, text=True))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="what is told is glibc's malloc")
def test_a_step_reuses_what_the_last_one_freed() -> None:
    assert pages_of_steps(settled=True) < 0.1 * pages_of_steps(settled=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_ARENA_MAX", "2"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=65536")],
)
def test_what_the_user_has_said_about_memory_stays(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert not keep_freed_memory()
