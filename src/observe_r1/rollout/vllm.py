"""vLLM in this process: one request a prompt with n = G, token ids and sampled log-probs out.

    generate   wake ─▶ prompts as text and pictures ─▶ G outputs each ─▶ sleep
    sync       only what is trained ─▶ ``reload_weights`` ─▶ what old weights computed is dropped
               adapters ─▶ saved, and named in the next requests; nothing is dropped

vLLM renders nothing itself: it gets the text our processor rendered, and the ids it made of it are
compared with ours. Its log-probs are those after temperature and suppressed ids, as the trainer has
them.

vLLM lives in an environment of its own, with the Transformers it pins; see ``scripts/vllm_env.sh``.
Where that one cannot take encoded images, training encodes them once a pass; nothing else changes.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from observe_r1.config.rollout import VLLM, Sampling
from observe_r1.errors import EngineError, ObserveError
from observe_r1.policy.load import Policy, resolve_model
from observe_r1.rollout.sampling import sample_seeds
from observe_r1.rollout.vllm_common import (
    lora_room,
    make_group,
    prompt_ids,
    request_settings,
    trained_weights,
)
from observe_r1.types import Completion, RolloutGroup, Sample

CPU_CACHE_GIB = "2"
"""Keys and values on a CPU, where vLLM would otherwise reserve a share of all memory."""

CPU_LENGTH = 8192
"""Longest prompt and completion on a CPU unless the settings say more."""

MORE_ROOM = "Raise engine.max_model_length or engine.memory_share"
OTHER_PROMPT = (
    "Its processor settings differ from the model's; use engine.type=shared_prefill, or the "
    "processor files the model came with."
)


class VLLMEngine:
    """Holds a vLLM model that follows the policy's weights."""

    is_apart = False

    def __init__(self, policy: Policy, config: VLLM | None = None) -> None:
        self.policy = policy
        self.config = config or VLLM()
        self.num_syncs = 0
        self.version = 0
        # vLLM puts its memory to sleep on accelerators only.
        self.can_sleep = self.config.sleep and torch.cuda.is_available()
        self.llm: Any = _start(policy, self.config, self.can_sleep)
        self.room: int = self.llm.llm_engine.model_config.max_model_len
        self._adapters = tempfile.TemporaryDirectory(prefix="observe-r1-adapters-")
        self._sleep()

    def generate(
        self,
        samples_P: Sequence[Sample],
        *,
        group_size: int,
        sampling: Sampling,
        system_prompt: str,
        seed: int,
        step: int = 0,
        written_P: Sequence[Sequence[int]] | None = None,
    ) -> list[RolloutGroup]:
        """One group a sample, in the samples' order."""
        written_P = [()] * len(samples_P) if written_P is None else written_P
        begun_P = list(zip(samples_P, written_P, strict=True))
        ids_P = [self._prompt_ids(s, system_prompt, sampling, ids) for s, ids in begun_P]
        requests = [self._request(sample, system_prompt, written) for sample, written in begun_P]
        settings = [
            self._sampling_params(group_size, sampling, own)
            for own in sample_seeds((sample.id for sample in samples_P), seed, step)
        ]
        with _saying("vLLM failed while it generated"), self._awake():
            outputs = self.llm.generate(
                requests, settings, use_tqdm=False, lora_request=self._adapter()
            )
        return [
            self._group(sample, ids, output, group_size, step)
            for sample, ids, output in zip(samples_P, ids_P, outputs, strict=True)
        ]

    def sync(self, policy: Policy, version: int = 0) -> None:
        """Send the trained weights, or write the adapters down for the next requests."""
        self.policy = policy
        self.num_syncs += 1
        self.version = version
        self._wake()
        if policy.config.lora is None:
            self._reload(policy)
        else:
            self._write_adapters(policy)

    def _reload(self, policy: Policy) -> None:
        weights = {"weights_iterator": trained_weights(policy)}
        self.llm.collective_rpc("reload_weights", kwargs=weights)
        # Reloading has dropped the encoded images, of a frozen vision tower too: the core must
        # know, or requests would point at entries that are gone. Keys and values are ours to drop.
        self.llm.llm_engine.reset_encoder_cache()
        if self.llm.reset_prefix_cache() is False:
            raise EngineError(
                "vLLM has not dropped what it computed with the old weights, so the next "
                "completions would be of no single policy. Report this with the vLLM version."
            )

    def _write_adapters(self, policy: Policy) -> None:
        """Under a new name each time: what vLLM keeps of an adapter, it keeps by its name."""
        policy.model.save_pretrained(self._adapter_folder(self.num_syncs))
        shutil.rmtree(self._adapter_folder(self.num_syncs - 1), ignore_errors=True)

    def close(self) -> None:
        """Give back memory and the adapters' folder."""
        if self.llm is None:
            return
        self.llm.llm_engine.engine_core.shutdown()
        self.llm = None
        self._adapters.cleanup()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _prompt_ids(
        self, sample: Sample, system_prompt: str, sampling: Sampling, written: Sequence[int]
    ) -> tuple[int, ...]:
        if len(sample.images) > self.config.max_images:
            raise EngineError(
                f"Sample '{sample.id}' has {len(sample.images)} images, and vLLM was started for "
                f"at most {self.config.max_images} a prompt. Raise engine.max_images."
            )
        return prompt_ids(
            self.policy, sample, system_prompt, written, sampling.max_new_tokens, self.room,
            MORE_ROOM,
        )  # fmt: skip

    def _request(
        self, sample: Sample, system_prompt: str, written: Sequence[int]
    ) -> dict[str, Any]:
        """The prompt as text; as tokens, image pads not yet expanded, where some are written."""
        text, images = self.policy.encode.render(sample, system_prompt)
        if self.policy.encode.begins_itself(text):  # vLLM's tokenizer adds it
            text = text.removeprefix(self.policy.encode.first_token)
        prompt: dict[str, Any] = {"prompt": text}
        if written:
            tokenizer = getattr(self.policy.processor, "tokenizer", self.policy.processor)
            prompt = {"prompt_token_ids": [*tokenizer(text)["input_ids"], *written]}
        return prompt | ({"multi_modal_data": {"image": images}} if images else {})

    def _sampling_params(self, group_size: int, sampling: Sampling, seed: int) -> Any:
        from vllm import SamplingParams  # type: ignore[attr-defined]

        with _saying("vLLM refuses these settings of sampling"):
            return SamplingParams(
                **request_settings(self.policy, sampling, group_size, seed),
                logit_bias=dict.fromkeys(self.policy.family.suppressed_ids, float("-inf")),
                logprobs=None if sampling.is_filtered else 0,
            )

    def _group(
        self, sample: Sample, ids: tuple[int, ...], output: Any, group_size: int, step: int
    ) -> RolloutGroup:
        drawn = [_completion(o) for o in sorted(output.outputs, key=lambda o: o.index)]
        return make_group(
            sample, ids, output.prompt_token_ids, drawn, group_size, step=step,
            version=self.version, remedy=OTHER_PROMPT,
        )  # fmt: skip

    def _adapter_folder(self, sync: int) -> str:
        return str(Path(self._adapters.name) / str(sync))

    def _adapter(self) -> Any:
        """The adapters of the last sync; a fresh LoRA changes nothing, so none before it."""
        if self.policy.config.lora is None or self.num_syncs == 0:
            return None
        from vllm.lora.request import LoRARequest

        folder = self._adapter_folder(self.num_syncs)
        return LoRARequest(f"sync-{self.num_syncs}", self.num_syncs, folder)

    @contextmanager
    def _awake(self) -> Iterator[None]:
        """Only while vLLM works does it hold the device's memory."""
        self._wake()
        try:
            yield
        finally:
            self._sleep()

    def _wake(self) -> None:
        if self.can_sleep:
            self.llm.wake_up()

    def _sleep(self) -> None:
        if self.can_sleep:
            self.llm.sleep(level=1)


def _start(policy: Policy, config: VLLM, can_sleep: bool) -> Any:
    # In this process, so that weights are handed over as tensors. vLLM reads its settings from
    # here.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    has_gpu = torch.cuda.is_available()
    if not has_gpu:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE_GIB)
    try:
        from vllm import LLM  # type: ignore[attr-defined]
    except ImportError:
        raise EngineError(
            "engine.type is vllm, but vLLM is not installed here. It needs an environment of its "
            "own (scripts/vllm_env.sh on a CPU, or the extra 'vllm'); or use "
            "engine.type=shared_prefill."
        ) from None
    lora = policy.config.lora
    eager = not has_gpu if config.enforce_eager is None else config.enforce_eager
    launched = int(os.environ.get("WORLD_SIZE", "1")) > 1
    reason = (
        f"vLLM could not start with '{policy.source}' (engine.memory_share and "
        "engine.max_model_length say what it may take; engine.type=shared_prefill needs no vLLM)"
    )
    with _saying(reason), _kept_random_state():
        return LLM(
            # One of many processes has a vLLM of its own, for its own share of the prompts.
            distributed_executor_backend="external_launcher" if launched else None,
            model=_whole_model(policy.source),
            dtype=policy.config.dtype,
            enforce_eager=eager,
            gpu_memory_utilization=config.memory_share,
            **_room(policy, config, has_gpu),
            enable_sleep_mode=can_sleep,
            enable_lora=lora is not None,
            max_lora_rank=lora_room(lora.rank) if lora else 16,
            limit_mm_per_prompt={"image": config.max_images},
            # After temperature and bias, as the trainer has them.
            logprobs_mode="processed_logprobs",
            trust_remote_code=False,
        )


def _room(policy: Policy, config: VLLM, has_gpu: bool) -> dict[str, Any]:
    """How long prompt and completion may be together."""
    if has_gpu:
        return {"max_model_len": config.max_model_length or -1}  # -1: as memory has room for
    longest = policy.model.config.get_text_config().max_position_embeddings
    length = config.max_model_length or min(longest, CPU_LENGTH)
    # A prompt that is computed in pieces makes vLLM take random numbers of its request back, which
    # those of a CPU cannot do: every prompt is computed whole.
    return {
        "max_model_len": length,
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(length, CPU_LENGTH),
    }


@contextmanager
def _saying(what: str) -> Iterator[None]:
    """vLLM's errors as one of ours; they change their bases from release to release."""
    try:
        yield
    except ObserveError:
        raise
    except Exception as error:
        raise EngineError(f"{what}: {type(error).__name__}: {error}") from error


@contextmanager
def _kept_random_state() -> Iterator[None]:
    """vLLM seeds this process's generators when it starts; the trainer's go on as they were."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _whole_model(source: str) -> str:
    """The folder or name that vLLM loads; adapters alone are no model to it."""
    model = resolve_model(source)
    folder = Path(model)
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise EngineError(
            f"{model} holds adapters alone, and vLLM needs the whole model. Merge them with "
            f"'observe-r1 export model {model} --out DIR --merge', or use "
            "engine.type=shared_prefill."
        )
    return model


def _completion(output: Any) -> Completion:
    ids = tuple(output.token_ids)
    logprobs = output.logprobs or []
    return Completion(
        text=output.text,
        token_ids=ids,
        logprobs=tuple(row[token].logprob for row, token in zip(logprobs, ids, strict=False)),
        truncated=output.finish_reason == "length",
    )
