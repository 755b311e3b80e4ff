"""vLLM in this process: one request a prompt with n = G, token ids and sampled log-probs out.

    generate   wake ─▶ prompts as text and pictures ─▶ G outputs each ─▶ sleep
    sync       only what is trained ─▶ ``reload_weights`` ─▶ caches of old weights dropped
               adapters ─▶ saved, and named in the next requests

vLLM renders nothing itself: it gets the text our processor rendered, and the ids it made of it are
compared with ours, because a trainer that sees another prompt than the sampler trains on nonsense.
vLLM lives in an environment of its own; see ``scripts/vllm_env.sh``.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from observe_r1.config.rollout import VLLM, Sampling
from observe_r1.errors import EngineError
from observe_r1.policy.family import base_model, is_frozen
from observe_r1.policy.load import Policy, resolve_model
from observe_r1.rollout.sampling import stable_seed
from observe_r1.types import Completion, RolloutGroup, Sample

SUPPRESSED = -100.0
"""vLLM's lowest bias on a logit: e^-100 is as good as never."""


class VLLMEngine:
    """Holds a vLLM model that follows the policy's weights."""

    def __init__(self, policy: Policy, config: VLLM | None = None) -> None:
        self.policy = policy
        self.config = config or VLLM()
        self.can_sleep = self.config.sleep and policy.device.type == "cuda"
        self.num_syncs = 0
        self._adapters = tempfile.TemporaryDirectory(prefix="observe-r1-adapters-")
        self.llm: Any = _start(policy, self.config, self.can_sleep)
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
    ) -> list[RolloutGroup]:
        """One group a sample, in the samples' order."""
        rendered = [self.policy.encode.render(sample, system_prompt) for sample in samples_P]
        prompts = [
            {"prompt": text, "multi_modal_data": {"image": images}} if images else {"prompt": text}
            for text, images in rendered
        ]
        seen: Counter[str] = Counter()
        settings = []
        for sample in samples_P:
            own = stable_seed(seed, step, sample.id, seen[sample.id]) % 2**31
            settings.append(self._sampling_params(group_size, sampling, own))
            seen[sample.id] += 1
        self._wake()
        outputs = self.llm.generate(prompts, settings, use_tqdm=False, lora_request=self._adapter())
        self._sleep()
        return [
            self._group(sample, output, group_size, system_prompt, step)
            for sample, output in zip(samples_P, outputs, strict=True)
        ]

    def sync(self, policy: Policy) -> None:
        """Send the trained weights, or write the adapters down for the next requests."""
        self.policy = policy
        self.num_syncs += 1
        self._wake()
        if policy.config.lora is not None:
            policy.model.save_pretrained(self._adapter_folder())
        else:
            weights = {"weights_iterator": list(trained_weights(policy))}
            self.llm.collective_rpc("reload_weights", kwargs=weights)
        self.llm.reset_prefix_cache()
        if not is_frozen(policy.model, "vision", "aligner"):
            # The core's own cache of encoded images; resetting that of the pictures alone would
            # leave requests pointing at entries that are gone.
            self.llm.llm_engine.reset_encoder_cache()

    def close(self) -> None:
        """Give back memory and the adapters' folder."""
        if self.llm is not None:
            self.llm = None
            self._adapters.cleanup()
            if self.policy.device.type == "cuda":
                torch.cuda.empty_cache()

    def _sampling_params(self, group_size: int, sampling: Sampling, seed: int) -> Any:
        from vllm import SamplingParams  # type: ignore[attr-defined]

        return SamplingParams(
            n=1 if sampling.is_greedy else group_size,  # greedy ones are all alike
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            max_tokens=sampling.max_new_tokens,
            stop=list(sampling.stop) or None,
            include_stop_str_in_output=True,
            stop_token_ids=list({*self.policy.end_ids, *sampling.stop_token_ids}),
            logit_bias=dict.fromkeys(self.policy.family.suppressed_ids, SUPPRESSED),
            logprobs=0,
            seed=seed,
        )

    def _group(
        self, sample: Sample, output: Any, group_size: int, system_prompt: str, step: int
    ) -> RolloutGroup:
        ours = tuple(self.policy.encode(sample, system_prompt).ids_L.tolist())
        theirs = tuple(output.prompt_token_ids)
        if ours != theirs:
            raise EngineError(
                f"vLLM reads the prompt of sample '{sample.id}' as {len(theirs)} tokens, the "
                f"trainer as {len(ours)}, or as other ones. Its processor settings differ from the "
                "model's; use engine.type=shared_prefill, or the processor files the model came "
                "with."
            )
        drawn = [_completion(o) for o in sorted(output.outputs, key=lambda o: o.index)]
        copies = group_size // len(drawn)
        return RolloutGroup(
            sample=sample, completions_G=tuple(drawn * copies), step=step,
            policy_version=self.num_syncs, prompt_ids=ours,
        )  # fmt: skip

    def _adapter_folder(self) -> str:
        return str(Path(self._adapters.name) / str(self.num_syncs))

    def _adapter(self) -> Any:
        """The adapters of the last sync; a fresh LoRA changes nothing, so none before it."""
        if self.policy.config.lora is None or self.num_syncs == 0:
            return None
        from vllm.lora.request import LoRARequest

        return LoRARequest(f"sync-{self.num_syncs}", self.num_syncs, self._adapter_folder())

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
    try:
        from vllm import LLM  # type: ignore[attr-defined]
    except ImportError:
        raise EngineError(
            "engine.type is vllm, but vLLM is not installed here. It needs an environment of its "
            "own (scripts/vllm_env.sh on a CPU, or the extra 'vllm'); or use "
            "engine.type=shared_prefill."
        ) from None
    lora = policy.config.lora
    return LLM(
        model=resolve_model(policy.source),
        dtype=policy.config.dtype,
        enforce_eager=config.enforce_eager,
        gpu_memory_utilization=config.memory_share,
        max_model_len=config.max_model_length,
        enable_sleep_mode=can_sleep,
        enable_lora=lora is not None,
        max_lora_rank=lora.rank if lora else 16,
        limit_mm_per_prompt={"image": config.max_images},
        # After temperature and bias, as the trainer has them.
        logprobs_mode="processed_logprobs",
        trust_remote_code=False,
    )


def trained_weights(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    """Names as the model has them, and tensors. Tied weights are sent under both names: given the
    embeddings alone, vLLM keeps the old output head."""
    for name, parameter in base_model(policy.model).named_parameters(remove_duplicate=False):
        if parameter.requires_grad:
            yield name, parameter.detach()


def _completion(output: Any) -> Completion:
    ids = tuple(output.token_ids)
    logprobs = output.logprobs or []
    return Completion(
        text=output.text,
        token_ids=ids,
        logprobs=tuple(row[token].logprob for row, token in zip(logprobs, ids, strict=True)),
        truncated=output.finish_reason == "length",
    )
