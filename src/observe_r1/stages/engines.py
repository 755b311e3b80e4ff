"""An engine for a model that is only asked, never trained: probing and evaluation."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from observe_r1.config.near import did_you_mean
from observe_r1.config.policy import PolicyConfig
from observe_r1.config.rollout import VLLM, Endpoint, EngineConfig, SharedPrefill
from observe_r1.errors import ConfigError
from observe_r1.rollout.base import RolloutEngine
from observe_r1.rollout.engines import make_engine
from observe_r1.stages.models import TINY, locate_model
from observe_r1.stages.quiet import quiet_libraries

if TYPE_CHECKING:
    from observe_r1.policy.load import Policy

ENGINES = ("shared_prefill", "vllm", "endpoint")


def engine_config(
    engine: str, model: str, urls: Sequence[str] = (), *, concurrency: int = 16
) -> EngineConfig:
    """What the command line says of an engine; addresses alone say that it is an endpoint.

    Example:
        engine_config("", "tiny", ["http://127.0.0.1:8000/v1"])
    """
    if engine and engine not in ENGINES:
        raise ConfigError(f"there is no engine '{engine}'.{did_you_mean(engine, ENGINES)}")
    if engine == "endpoint" or (urls and not engine):
        # The built-in model's name is no server's: whatever the server lists first is asked.
        settings = {"model": "" if model == TINY else model, "max_concurrency": concurrency}
        return Endpoint.build(
            settings | ({"base_url": tuple(urls)} if urls else {}), "the endpoint"
        )
    if urls:
        raise ConfigError(
            f"engine '{engine}' generates in this process, so it has no use for {urls[0]}. Leave "
            "either the engine or the address out."
        )
    return VLLM() if engine == "vllm" else SharedPrefill()


@contextmanager
def open_engine(model: str, config: EngineConfig | None = None) -> Iterator[RolloutEngine]:
    """The engine of a model, closed at the end.

    Example:
        with open_engine("tiny") as engine:
            groups = engine.generate(samples, group_size=8, …)
    """
    config = config or SharedPrefill()
    engine = make_engine(
        config, lambda: load_for_asking(model, weights=not isinstance(config, VLLM))
    )
    try:
        yield engine
    finally:
        engine.close()


def load_for_asking(model: str, *, weights: bool = True) -> "Policy":
    """The policy, or all of it but its weights: vLLM loads those itself."""
    import torch

    from observe_r1.policy.load import load_policy

    quiet_libraries()
    dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    settings = PolicyConfig(dtype=dtype)
    policy = load_policy(locate_model(model), settings, device=None if weights else "meta")
    policy.packed.eval()
    return policy
