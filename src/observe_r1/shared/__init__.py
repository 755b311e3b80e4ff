"""Work that many machines share, through nothing but a place that all of them can see.

bucket   named objects in a folder or behind fsspec; of several writers exactly one succeeds
claims   who works on which block, who is alive, what may be taken over
work     blocks in, rows out, each block counted once
"""

from observe_r1.shared.bucket import Bucket, open_bucket
from observe_r1.shared.work import Block, BlockRows, SharedWork, ShareSettings, WorkSummary

__all__ = [
    "Block",
    "BlockRows",
    "Bucket",
    "ShareSettings",
    "SharedWork",
    "WorkSummary",
    "open_bucket",
]
