"""What a process is told before it computes: how threads wait, what happens to freed memory.

Neither changes a number, both change how long a step takes on a CPU. What the user has set in the
environment stays.
"""

import ctypes
import os

# glibc's numbers for ``mallopt``, from its malloc.h.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
NEVER = -1
LARGEST_KEPT = (256 * 2**20, 32 * 2**20)
"""Bytes; larger arrays go back to the system one by one. Before 2.35 glibc took 32 MB at most."""


def settle_process() -> None:
    """For an entry point, before PyTorch is imported."""
    # PyTorch's threads wait for each other by spinning. Beside any other program that makes small
    # models many times slower; waiting asleep costs little.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Let arrays that a step has freed be reused by the next one.

    glibc hands large blocks back to the system, which hands them out again page by page, each
    cleared first. A step asks for the same arrays as the last: for a model of 8 million parameters
    that is 60,000 pages and a tenth of its time. Says whether it could; other C libraries are left
    as they are.
    """
    if _user_has_said():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    keeps = any(mallopt(MMAP_THRESHOLD, size) for size in LARGEST_KEPT)
    return bool(mallopt(TRIM_THRESHOLD, NEVER)) and keeps


def _user_has_said() -> bool:
    """glibc has two ways to be told in the environment."""
    by_name = any(name.startswith("MALLOC_") for name in os.environ)
    return by_name or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "")
