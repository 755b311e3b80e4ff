"""What PyTorch is told once before a policy computes on a GPU."""

import torch

VERSIONS = 64
"""How many versions of one compiled function may exist; see ``settle_cuda``."""


def settle_cuda(device: torch.device) -> None:
    """Two defaults that suit other work than ours, where every batch has new shapes.

    cuDNN's attention, which newer GPUs prefer, plans anew for each new shape, which takes longer
    than many steps compute. And FlexAttention is compiled for rows of any length, with and without
    gradient, with and without a window: more versions than the compiler keeps by default, after
    which it computes all scores of all tokens, and says so once.
    """
    if device.type != "cuda":
        return
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch._dynamo.config.recompile_limit = max(VERSIONS, torch._dynamo.config.recompile_limit)
