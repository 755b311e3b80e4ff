"""An engine for a model that is only asked, never trained: probing and evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import VLLM, Endpoint, SharedPrefill
from observe_r1.rollout.base import RolloutEngine
from observe_r1.stages.models import locate_model
from observe_r1.stages.quiet import quiet_libraries

EngineConfig = SharedPrefill | VLLM | Endpoint


@contextmanager
def open_engine(model: str, config: EngineConfig | None = None) -> Iterator[RolloutEngine]:
    """The engine of a model, closed at the end.

    Example:
        with open_engine("tiny") as engine:
            groups = engine.generate(samples, group_size=8, …)
    """
    engine = _make_engine(model, config or SharedPrefill())
    try:
        yield engine
    finally:
        engine.close()


def _make_engine(model: str, config: EngineConfig) -> RolloutEngine:
    match config:
        case Endpoint():
            from observe_r1.probe.endpoint_engine import EndpointEngine

            return EndpointEngine(
                [config.base_url], model=config.model, max_concurrency=config.max_concurrency
            )
        case VLLM():
            from observe_r1.rollout.vllm import VLLMEngine

            return VLLMEngine(_load(model), config)
        case SharedPrefill():
            from observe_r1.rollout.shared_prefill import SharedPrefillEngine

            return SharedPrefillEngine(_load(model), config)


def _load(model: str) -> Any:
    import torch

    from observe_r1.policy.load import load_policy

    quiet_libraries()
    dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    policy = load_policy(locate_model(model), PolicyConfig(dtype=dtype))
    policy.packed.eval()
    return policy
