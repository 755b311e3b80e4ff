"""``observe-r1 export traces``: the traces of a stage as a file of chats with images."""

from pathlib import Path
from typing import Any

from observe_r1.data.chats import write_chats
from observe_r1.data.traces import read_traces
from observe_r1.errors import RunError
from observe_r1.records import read_json
from observe_r1.stages.handover import traces_folder


def export_chats(traces: Path, out: Path, *, rejected: Path | None = None) -> dict[str, Any]:
    """Write ``chats.json`` and its pictures to ``out``; with ``rejected``, preference pairs."""
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise RunError(f"{out} is not empty, and nothing is overwritten. Choose another --out.")
    better = read_traces(traces_folder(traces))
    worse = None if rejected is None else read_traces(traces_folder(rejected))
    chats = write_chats(out, better, worse)
    return {"chats": str(chats), "rows": len(read_json(chats))}
