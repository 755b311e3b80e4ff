"""vLLM in a server of its own, on devices of its own: one request a prompt with n = G over HTTP.

    generate   chat messages with pictures ─▶ /v1/chat/completions ─▶ token ids, log-probs, texts
    sync       trained weights ─▶ safetensors in a folder ─▶ the server's ``reload_weights``
               adapters ─▶ saved in a folder ─▶ /v1/load_lora_adapter, named in the next requests

Everything asked for is vLLM's own: no code of ours runs in the server, nothing that travels is
pickled, and weights go over a folder that both sides see. The server renders the prompt with the
model's chat template; the ids it read are compared with the trainer's.

New weights need vLLM's endpoints for development, which let whoever reaches the port change the
model: the server belongs on 127.0.0.1 or in a closed network.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor

from observe_r1.config.rollout import Sampling, VLLMServer
from observe_r1.endpoints import image_part
from observe_r1.errors import EngineError
from observe_r1.policy.load import Policy
from observe_r1.policy.prompts import chat_messages
from observe_r1.rollout.sampling import sample_seeds
from observe_r1.rollout.vllm_common import (
    lora_room,
    make_group,
    named_weights,
    prompt_ids,
    request_settings,
    trained_weights,
)
from observe_r1.types import Completion, RolloutGroup, Sample

SHARD_BYTES = 2**30
"""Weights that are in the host's memory at a time while they are written."""

NEVER = -100.0
"""The strongest bias that the protocol takes: e^-100 of a token's probability is left."""

MORE_ROOM = "Start it with a larger --max-model-len"
_TEMPLATE = (
    "The model's own template opens <{}>, which the trainer leaves to the model: write the "
    "template without that into a file, and add --chat-template FILE."
)


class VLLMServerEngine:
    """A server that follows the policy's weights. Each process of a launch asks for its share."""

    is_apart = True

    def __init__(self, policy: Policy, config: VLLMServer | None = None) -> None:
        self.policy = policy
        self.config = config or VLLMServer()
        self.version = 0
        self.num_syncs = 0
        key = os.environ.get(self.config.api_key_variable)
        self._http = httpx.Client(
            base_url=self.config.base_url,
            timeout=self.config.timeout_seconds,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx.Limits(max_connections=self.config.max_concurrency + 1),
        )
        self._pool = ThreadPoolExecutor(self.config.max_concurrency)
        self._sockets: list[socket.socket] = []
        self.model, self.room = self._listed()
        self._check_server()
        self._folder = Path(
            tempfile.mkdtemp(prefix="observe-r1-weights-", dir=self.config.weights_folder)
        )
        self._name = from_first(self._folder.name)
        # A server that is left from another run may have other weights than the model it names.
        self._send_weights(named_weights(policy))

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
        ids_P = [
            prompt_ids(
                self.policy, sample, system_prompt, written, sampling.max_new_tokens, self.room,
                MORE_ROOM,
            )
            for sample, written in zip(samples_P, written_P, strict=True)
        ]  # fmt: skip
        requests = []
        seeds = sample_seeds((sample.id for sample in samples_P), seed, step)
        for sample, written, own in zip(samples_P, written_P, seeds, strict=True):
            messages = with_pictures(chat_messages(sample, system_prompt), sample.images)
            settings = self._settings(group_size, sampling, own)
            requests.append({"messages": messages, **settings, **self._begun(messages, written)})
        answers = self._pool.map(lambda body: self._post("/v1/chat/completions", body), requests)
        return [
            self._group(sample, ids, answer, group_size, step)
            for sample, ids, answer in zip(samples_P, ids_P, answers, strict=True)
        ]

    def _begun(
        self, messages: Sequence[Mapping[str, Any]], written: Sequence[int]
    ) -> dict[str, Any]:
        """What asks the server to go on with a response that is begun already."""
        if not written:
            return {}
        tokenizer = getattr(self.policy.processor, "tokenizer", self.policy.processor)
        begun = {"role": "assistant", "content": tokenizer.decode(list(written))}
        return {
            "messages": [*messages, begun], "continue_final_message": True,
            "add_generation_prompt": False,
        }  # fmt: skip

    def sync(self, policy: Policy, version: int = 0) -> None:
        """Send the trained weights, or name the adapters that the next requests use."""
        self.policy = policy
        self.version = version
        if policy.config.lora is None:
            self._send_weights(trained_weights(policy))
        else:
            self._send_adapters(policy)

    def close(self) -> None:
        """The server goes on; only the folder of weights is gone. What another thread still waits
        for is cut off: closing the client alone would let it wait for the server's answer."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        while self._sockets:
            with suppress(OSError):  # the client has closed it already
                self._sockets.pop().shutdown(socket.SHUT_RDWR)
        self._http.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _send_weights(self, weights: Iterator[tuple[str, Tensor]]) -> None:
        """All processes help to gather; the first one writes, the others wait for it."""
        folder = self._folder / "weights"
        write_shards(weights, folder, keep=is_first())
        if is_first():
            self._post(
                "/collective_rpc",
                {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}},
            )
            # As in one process: the encoded images are gone, of a frozen vision tower too, and
            # what was computed with the old weights is ours to drop.
            self._post("/reset_encoder_cache")
            if self._post("/reset_prefix_cache").get("success") is False:
                raise EngineError(
                    f"The server at {self.config.base_url} has not dropped what it computed with "
                    "the old weights. It must serve this run alone: end what else asks it."
                )
            shutil.rmtree(folder)
        wait_for_all()

    def _send_adapters(self, policy: Policy) -> None:
        """Under a new name each time: what vLLM keeps of an adapter, it keeps by its name."""
        old, self.num_syncs = self.num_syncs, self.num_syncs + 1
        name = self._adapter(self.num_syncs)
        if is_first():
            policy.model.save_pretrained(self._folder / name)
            place = {"lora_name": name, "lora_path": str(self._folder / name)}
            self._post("/v1/load_lora_adapter", place)
            if old:
                self._post("/v1/unload_lora_adapter", {"lora_name": self._adapter(old)})
                shutil.rmtree(self._folder / self._adapter(old))
        wait_for_all()

    def _adapter(self, sync: int) -> str:
        return f"{self._name}-{sync}"

    def _settings(self, group_size: int, sampling: Sampling, seed: int) -> dict[str, Any]:
        """Every field that a model's own ``generation_config.json`` would else decide."""
        biased = self.policy.family.suppressed_ids
        return {
            "model": self._adapter(self.num_syncs) if self.num_syncs else self.model,
            **request_settings(self.policy, sampling, group_size, seed),
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "logit_bias": {str(token): NEVER for token in biased},
            "logprobs": not sampling.is_filtered,
            "top_logprobs": 0,
            "return_token_ids": True,
        }

    def _group(
        self, sample: Sample, ids: tuple[int, ...], answer: Mapping[str, Any], group_size: int,
        step: int,
    ) -> RolloutGroup:  # fmt: skip
        drawn = [_completion(c) for c in sorted(answer["choices"], key=lambda c: c["index"])]
        return make_group(
            sample, ids, answer.get("prompt_token_ids") or (), drawn, group_size, step=step,
            version=self.version, remedy=self._same_model(),
        )  # fmt: skip

    def _same_model(self) -> str:
        opened = self.policy.encode.opened
        return (
            "Start the server with the trainer's model, so that it has the same processor and chat "
            f"template:\n  {self._command()}" + (f"\n{_TEMPLATE.format(opened)}" if opened else "")
        )

    def _listed(self) -> tuple[str, int]:
        """The name the server knows its model by, and the tokens it has room for."""
        try:
            response = self._http.get(
                "/v1/models", timeout=30, extensions={"trace": self._remember}
            )
            listed = response.json()["data"][0]
            return str(listed["id"]), int(listed["max_model_len"])
        except (httpx.TransportError, ValueError, KeyError, IndexError, TypeError) as error:
            raise EngineError(
                f"engine.type is vllm_server, but no vLLM server answers at {self.config.base_url} "
                f"({type(error).__name__}). Start one where the GPUs for rollouts are:\n  "
                f"{self._command()}"
            ) from None

    def _check_server(self) -> None:
        """That it takes new weights, and says log-probs as the trainer has them."""
        response = self._http.get(
            "/server_info",
            params={"config_format": "json"},
            extensions={"trace": self._remember},
        )
        if response.status_code != 200:
            raise EngineError(
                f"The server at {self.config.base_url} takes no new weights: it was started "
                f"without VLLM_SERVER_DEV_MODE=1, or is no vLLM. Start it so:\n  {self._command()}"
            )
        settings = response.json()["vllm_config"]
        mode = settings["model_config"]["logprobs_mode"]
        lacks_lora = self.policy.config.lora is not None and not settings.get("lora_config")
        if mode != "processed_logprobs" or lacks_lora:
            what = f"says {mode}" if mode != "processed_logprobs" else "takes no adapters"
            raise EngineError(
                f"The server at {self.config.base_url} {what}, and the trainer's log-probs are "
                "those after temperature, its adapters those of policy.lora. Start it so:\n  "
                f"{self._command()}"
            )

    def _command(self) -> str:
        return serve_command(self.policy, self.config)

    def _remember(self, event: str, details: Mapping[str, Any]) -> None:
        """Keep a connection's socket, to be able to end it."""
        if event == "connection.connect_tcp.complete":
            self._sockets.append(details["return_value"].get_extra_info("socket"))

    def _post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            response = self._http.post(path, json=body, extensions={"trace": self._remember})
        except httpx.TransportError as error:
            raise EngineError(
                f"The vLLM server did not answer {path} ({type(error).__name__}: {error}). See its "
                "own output; start it again and go on with --resume."
            ) from None
        if response.status_code != 200:
            raise EngineError(
                f"The vLLM server refused {path} with status {response.status_code}: "
                f"{response.text[:400]}"
            )
        is_json = response.headers.get("content-type", "").startswith("application/json")
        found = response.json() if is_json else {}
        return found if isinstance(found, dict) else {}


def serve_command(policy: Policy, config: VLLMServer) -> str:
    """What starts the server that an engine of these settings asks."""
    url = httpx.URL(config.base_url)
    words = [
        "VLLM_SERVER_DEV_MODE=1", "vllm", "serve", policy.source, "--host", url.host, "--port",
        str(url.port or 8000), "--dtype", policy.config.dtype, "--logprobs-mode",
        "processed_logprobs", "--chat-template-content-format", "openai",
    ]  # fmt: skip
    if policy.config.lora is not None:
        room = str(lora_room(policy.config.lora.rank))
        words = ["VLLM_ALLOW_RUNTIME_LORA_UPDATING=1", *words, "--enable-lora"]
        words += ["--max-lora-rank", room]
    return " ".join(words)


def with_pictures(
    messages: Sequence[Mapping[str, Any]], images: Sequence[bytes]
) -> list[dict[str, Any]]:
    """Chat messages with each picture in the place that was kept for it."""
    pictures = iter(images)

    def part(kept: Mapping[str, Any]) -> Mapping[str, Any]:
        return image_part(next(pictures)) if kept["type"] == "image" else kept

    return [{**m, "content": [part(kept) for kept in m["content"]]} for m in messages]


def write_shards(weights: Iterator[tuple[str, Tensor]], folder: Path, *, keep: bool) -> None:
    """Weights as files of a checkpoint, a shard of them in memory at a time. A process that does
    not ``keep`` them only helps to gather."""
    if keep:
        folder.mkdir(parents=True)
    shard: dict[str, Tensor] = {}
    number = size = 0
    for name, value in weights:
        if not keep:
            continue
        shard[name] = value.to("cpu", copy=True).contiguous()
        size += shard[name].nbytes
        if size >= SHARD_BYTES:
            save_file(shard, folder / f"model-{number:05d}.safetensors")
            shard, size, number = {}, 0, number + 1
    if shard:
        save_file(shard, folder / f"model-{number:05d}.safetensors")


def is_first() -> bool:
    """Whether this is the only process, or the first of a launch."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def from_first(value: str) -> str:
    """What the first process has, on all of them."""
    box = [value]
    if dist.is_available() and dist.is_initialized():
        dist.broadcast_object_list(box)
    return box[0]


def wait_for_all() -> None:
    """Nobody asks before the new weights are there."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


def _completion(choice: Mapping[str, Any]) -> Completion:
    ids = tuple(choice["token_ids"])
    rows = (choice.get("logprobs") or {}).get("content") or []
    return Completion(
        text=choice["message"]["content"] or "",
        token_ids=ids,
        logprobs=tuple(float(row["logprob"]) for row in rows),
        truncated=choice["finish_reason"] == "length",
    )
