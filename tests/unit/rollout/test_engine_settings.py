"""Settings → engines: what is opened, what is refused before anything is loaded."""

import tomllib

import pytest

import fakes
from observe_r1.config.overrides import override_tree
from observe_r1.config.rollout import VLLM, Endpoint, Sampling, SharedPrefill
from observe_r1.config.stages import RLStage, TeachStage
from observe_r1.errors import ConfigError, EngineError
from observe_r1.rollout.endpoint import EndpointEngine
from observe_r1.rollout.engines import make_engine
from observe_r1.rollout.shared_prefill import SharedPrefillEngine
from observe_r1.stages.engines import engine_config, open_engine
from observe_r1.stages.rl import build_engine
from observe_r1.train.distribute import Processes

HERE = "http://127.0.0.1:9/v1"


def test_the_command_line_names_an_engine_or_gives_addresses() -> None:
    assert engine_config("", "tiny") == SharedPrefill()
    assert engine_config("vllm", "tiny") == VLLM()
    one = engine_config("endpoint", "tiny")
    assert isinstance(one, Endpoint) and one.model == "" and len(one.urls) == 1
    two = engine_config("", "qwen", [HERE, "http://127.0.0.1:10/v1"], concurrency=3)
    assert isinstance(two, Endpoint) and two.model == "qwen"
    assert two.urls == (HERE, "http://127.0.0.1:10/v1") and two.max_concurrency == 3


def test_what_makes_no_sense_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"no engine 'vlm'.*vllm"):
        engine_config("vlm", "tiny")
    with pytest.raises(ConfigError, match="no use for http"):
        engine_config("vllm", "tiny", [HERE])
    with pytest.raises(ConfigError, match=r"base_url is '127.*Write it as http"):
        engine_config("", "tiny", ["127.0.0.1:8000"])
    with pytest.raises(ConfigError, match="an empty list"):
        Endpoint.build({"base_url": ()}, "the endpoint")


def test_fields_for_a_server_are_written_in_toml_and_in_overrides() -> None:
    toml = 'teacher = { type = "endpoint", extra = { seed = "none", effort = "low", k = [1] } }'
    written = TeachStage.build(tomllib.loads(toml), "test").teacher
    assert isinstance(written, Endpoint)
    assert written.extra == {"seed": None, "effort": "low", "k": [1]}
    tree = override_tree(
        ["teach.teacher.type=endpoint", "teach.teacher.extra.seed=none",
         "teach.teacher.extra.effort=low", "teach.teacher.extra.k=[1]",
         "teach.teacher.token_limit_key=max_completion_tokens"]
    )  # fmt: skip
    given = TeachStage.build(tree["teach"], "test").teacher
    assert isinstance(given, Endpoint)
    assert given.extra == written.extra and given.token_limit_key == "max_completion_tokens"
    assert Endpoint.model_validate_json(given.model_dump_json()) == given


@pytest.mark.parametrize("name", ["messages", "model", "n", "stream"])
def test_fields_that_decide_what_is_asked_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"extra: it has '{name}'.*Leave it out"):
        Endpoint.build({"extra": {name: None}}, "the endpoint")


def test_each_setting_makes_its_engine_and_endpoints_load_nothing() -> None:
    def load():
        return fakes.tiny_policy()

    def never():
        raise AssertionError("an endpoint needs no policy")

    assert isinstance(make_engine(SharedPrefill(), load), SharedPrefillEngine)
    assert isinstance(make_engine(Endpoint(base_url=HERE), never), EndpointEngine)


def test_an_engine_is_closed_when_the_block_ends() -> None:
    with open_engine("any", Endpoint(base_url=HERE, model="any")) as engine:
        assert isinstance(engine, EndpointEngine)
        engine.client._http.build_request("GET", HERE)
    assert engine.client._http.is_closed


def test_training_refuses_what_cannot_be_trained() -> None:
    policy = fakes.tiny_policy()
    stage = RLStage.build({"engine": {"type": "endpoint"}}, "test")
    with pytest.raises(ConfigError, match="whose weights cannot be changed"):
        build_engine(stage, policy, Processes())
    with pytest.raises(EngineError, match="own"):
        EndpointEngine(Endpoint(base_url=HERE)).sync(policy)
    adapters = RLStage.build({"engine": {"type": "vllm"}, "policy": {"lora": {}}}, "test")
    with pytest.raises(ConfigError, match=r"adapters.*sharded.*vLLM"):
        build_engine(adapters, policy, Processes(sharded=True))


def test_vllms_filtered_log_probs_are_no_basis_for_importance_weights() -> None:
    for name, value in {"top_p": 0.9, "top_k": 50, "min_p": 0.1}.items():
        settings = {"engine": {"type": "vllm"}, "sampling": {name: value}}
        with pytest.raises(ConfigError, match="truncated_importance needs them before"):
            RLStage.build(settings, "test")
        RLStage.build(settings | {"engine": {"type": "shared_prefill"}}, "test")
        RLStage.build(settings | {"loss": {"type": "clipped", "truncated_importance": None}}, "t")
    assert not Sampling().is_filtered
