"""Settings → the engine they name. Each imports only what it needs: an endpoint no torch at all."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from observe_r1.config.rollout import VLLM, Endpoint, EngineConfig, SharedPrefill, VLLMServer
from observe_r1.rollout.base import RolloutEngine

if TYPE_CHECKING:
    from observe_r1.policy.load import Policy


def make_engine(config: EngineConfig, load: Callable[[], "Policy"]) -> RolloutEngine:
    """``load`` brings the policy where the engine generates with one; endpoints have their own.

    Example:
        engine = make_engine(SharedPrefill(), lambda: policy)
    """
    match config:
        case SharedPrefill():
            from observe_r1.rollout.shared_prefill import SharedPrefillEngine

            return SharedPrefillEngine(load(), config)
        case VLLM():
            from observe_r1.rollout.vllm import VLLMEngine

            return VLLMEngine(load(), config)
        case VLLMServer():
            from observe_r1.rollout.vllm_server import VLLMServerEngine

            return VLLMServerEngine(load(), config)
        case Endpoint():
            from observe_r1.rollout.endpoint import EndpointEngine

            return EndpointEngine(config)
