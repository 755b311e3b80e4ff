"""Declares torchvision's operators by name before torchvision is imported; a CPU torch lacks them.

Installed as ``sitecustomize`` into the environment of ``scripts/vllm_env.sh``.
"""

import sys

OPERATORS = (
    "deform_conv2d", "_deform_conv2d_backward", "nms", "ps_roi_align", "_ps_roi_align_backward",
    "ps_roi_pool", "_ps_roi_pool_backward", "qnms", "qroi_align", "roi_align",
    "_roi_align_backward", "roi_pool", "_roi_pool_backward",
)  # fmt: skip


class DeclareOperators:
    """A finder that finds nothing: it only acts when torchvision is about to be imported."""

    library = None

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "torchvision" and cls.library is None:
            import torch

            cls.library = torch.library.Library("torchvision", "DEF")
            for operator in OPERATORS:
                cls.library.define(operator + "(Tensor x) -> Tensor")
        return None


sys.meta_path.insert(0, DeclareOperators)
