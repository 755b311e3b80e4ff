"""How completions are drawn (``Sampling``) and what draws them (the ``Engine`` union)."""

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from observe_r1.config_base import Config


class Sampling(Config):
    """The distribution completions are drawn from, and where they end."""

    temperature: float = Field(default=1.0, ge=0.0)
    """Divides the logits, in the sampler and in the trainer; 0 takes the likeliest token."""

    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Smallest set of tokens whose probabilities reach this much; 1 keeps all."""

    top_k: int = Field(default=0, ge=0)
    """So many likeliest tokens; 0 keeps all."""

    min_p: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Tokens at least this share as likely as the likeliest; 0 keeps all."""

    max_new_tokens: int = Field(default=1024, ge=1)
    """Completions that reach it end there and count as truncated."""

    stop: tuple[str, ...] = ()
    """A completion also ends when its text holds one of these; the stop string stays in it."""

    stop_token_ids: tuple[int, ...] = ()
    """Token ids that end a completion besides the model's own end tokens."""

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def is_filtered(self) -> bool:
        """Whether top-p, top-k or min-p take tokens away: the sampler is then off the policy."""
        return self.top_p < 1.0 or self.top_k > 0 or self.min_p > 0.0

    def greedy(self) -> Self:
        """The same limits, always the likeliest token: what evaluation uses."""
        return self.model_copy(update={"temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0})


SHARE_FOR_COMPLETIONS = 0.75
"""Of a GPU's memory that is free when sampling begins, what completions take at their longest; the
rest is for prompts, a step's own numbers and recordings. Here because the plan counts with it."""


class SharedPrefill(Config):
    """The built-in engine: prompt and images computed once a group, the cache branched G ways."""

    type: Literal["shared_prefill"] = "shared_prefill"

    max_sequences: int = Field(default=512, ge=1)
    """Completions decoded at the same time, on a GPU at most as many as there is room for at their
    longest; more are done in turns."""

    prefill_tokens: int = Field(default=16384, ge=1)
    """Prompt tokens computed in one forward pass."""

    fixed_shapes: bool | None = None
    """Decode in steps of fixed shapes, which a GPU replays from a recording (CUDA graphs); None:
    on a GPU. The tokens are the same either way."""


class VLLM(Config):
    """vLLM in this process, sharing the device; it has an environment of its own."""

    type: Literal["vllm"] = "vllm"

    memory_share: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Share of the device's memory that vLLM takes while it generates. On a CPU it takes two GiB
    for keys and values, or what the variable VLLM_CPU_KVCACHE_SPACE says."""

    max_model_length: int | None = Field(default=None, ge=1)
    """Prompt and completion together; None: what the model was made for and memory has room for,
    on a CPU 8192 at most."""

    max_images: int = Field(default=8, ge=1)
    """Most images a prompt may have."""

    sleep: bool = True
    """Give the memory back between rollouts (accelerators only)."""

    enforce_eager: bool | None = None
    """No CUDA graphs and no compilation: slower, starts sooner; None: on CPUs only."""


class VLLMServer(Config):
    """A vLLM server for this model alone, on devices of its own; it reads new weights from a folder
    that both sides see. ``docs/vllm.md`` has the command that starts one."""

    type: Literal["vllm_server"] = "vllm_server"

    base_url: str = "http://127.0.0.1:8000"
    """Where the server answers."""

    weights_folder: str | None = None
    """Where new weights are written for the server, by a path that is the same on both sides; None:
    a temporary folder of this machine. ``/dev/shm`` is quick and takes memory."""

    max_concurrency: int = Field(default=64, ge=1)
    """Prompts on their way at the same time."""

    timeout_seconds: float = Field(default=1800.0, gt=0)
    """How long one prompt with all its completions, or new weights, may take."""

    api_key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key, if the server asks for one."""

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"base_url is '{url}', which is no address. Write http://host:port.")
        return url.rstrip("/").removesuffix("/v1")


class Endpoint(Config):
    """Any OpenAI-compatible server: for teaching, probing and evaluation, never for training."""

    type: Literal["endpoint"] = "endpoint"

    base_url: str | tuple[str, ...] = "http://127.0.0.1:8000/v1"
    """Where the server answers; several that serve the same model share the work."""

    model: str = ""
    """The name the server knows the model by; empty: the first one it lists."""

    api_key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; its value is never written to a run folder."""

    max_concurrency: int = Field(default=16, ge=1)
    """Requests on their way at the same time."""

    timeout_seconds: float = Field(default=600.0, gt=0)
    """How long one request may take."""

    max_retries: int = Field(default=5, ge=0)
    """How often a request that failed for the server's reasons is sent again."""

    token_limit_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the server calls the limit on a reply's length; some take the newer name alone."""

    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """Fields of every request, sent as they are, in place of what would be sent: say
    ``extra.reasoning_effort=low``. ``none`` leaves a field out that the server refuses:
    ``extra.seed=none``, in TOML ``extra = { seed = "none" }``."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses, one or several."""
        return (self.base_url,) if isinstance(self.base_url, str) else self.base_url

    @field_validator("extra")
    @classmethod
    def _check_extra(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := sorted(extra.keys() & {"messages", "model", "n", "stream"}):
            raise ValueError(
                f"it has '{taken[0]}', but a request is one question to the model that the setting "
                "model names, and gets one whole reply. Leave it out."
            )
        # TOML has no null, so "none" stands for it here as in overrides.
        return {key: None if value == "none" else value for key, value in extra.items()}

    @model_validator(mode="after")
    def _check_urls(self) -> Self:
        wrong = [url for url in self.urls if not url.startswith(("http://", "https://"))]
        if wrong or not self.urls:
            given = f"'{wrong[0]}', which is no address" if wrong else "an empty list"
            raise ValueError(f"base_url is {given}. Write it as http://host:port/v1.")
        return self


EngineConfig = SharedPrefill | VLLM | VLLMServer | Endpoint
Engine = Annotated[EngineConfig, Field(discriminator="type")]
