"""What the probe asks: the built-in engine, vLLM in this process, or servers."""

from collections.abc import Sequence

from observe_r1.errors import ConfigError
from observe_r1.rollout.base import RolloutEngine


def open_engine(
    model: str,
    endpoints: Sequence[str] = (),
    engine: str = "shared_prefill",
    *,
    concurrency: int = 16,
    api_key: str | None = None,
) -> RolloutEngine:
    """An engine that generates with ``model``; imports only what that engine needs.

    Example:
        engine = open_engine("Qwen/Qwen2.5-VL-3B-Instruct", ["http://127.0.0.1:8000/v1"])
    """
    if endpoints:
        from observe_r1.probe.endpoint_engine import EndpointEngine

        return EndpointEngine(endpoints, model=model, api_key=api_key, max_concurrency=concurrency)
    if engine == "shared_prefill":
        from observe_r1.policy.load import load_policy
        from observe_r1.rollout.shared_prefill import SharedPrefillEngine

        return SharedPrefillEngine(load_policy(model))
    if engine == "vllm":
        from observe_r1.config.rollout import VLLM
        from observe_r1.policy.load import load_policy
        from observe_r1.rollout.vllm import VLLMEngine

        return VLLMEngine(load_policy(model), VLLM())
    raise ConfigError(
        f"no engine '{engine}' to probe with. Use shared_prefill, vllm or --endpoint."
    )
