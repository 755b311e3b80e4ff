"""A client of OpenAI-compatible servers: several share the work, none is trusted to stay up.

    requests ──▶ at most ``max_concurrency`` on their way
                  │ each goes to the address with the fewest on their way there
                  ▼
        server A   server B   …      error or timeout: wait, then try again, elsewhere if possible

A refusal that would only repeat itself (bad request, wrong key, unknown model) is raised at once;
one that may be about a single question (too long, against the rules) as a ``RefusedError``.
"""

import base64
import random
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

import httpx

from observe_r1.calls import Calls
from observe_r1.errors import EngineError, RefusedError

IMAGE_MARKER = "<image>"
_ABOUT_THE_REQUEST = {400, 413, 422}
"""A question that is too long, breaks a provider's rules or holds a bad picture: others may pass.
Servers refuse a wrong setting or an unknown model with 400 too; that only many refusals tell."""
_LONGEST_WAIT_SECONDS = 30.0
_LONGEST_REST_SECONDS = 60.0
_TAKE_MODEL_DEFAULTS = {"vllm", "sglang"}
"""Servers, by the owner they list their models under, that sample with what the model's own
``generation_config.json`` says wherever a request says nothing: Qwen2-VL's says ``top_k = 1``."""
_PLAIN_SAMPLING = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Said to those servers, so that they sample from what was asked for. Others may not know it."""
_THOUGHT_FIELDS = ("reasoning_content", "reasoning")
"""Where servers of reasoning models put the thought: DeepSeek, SGLang and older versions of vLLM;
newer versions of vLLM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One question to the server.

    Example:
        ChatRequest(messages=(user_message("How many red squares?", [png]),), max_tokens=256,
                    temperature=1.0, seed=7)
    """

    messages: Sequence[Mapping[str, Any]]
    max_tokens: int = 1024
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields that only some servers know, sent as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """What came back: the text, its length as the server counted it, and why it ended.

    Example:
        ChatReply(text="<answer>3</answer>", num_tokens=41, truncated=False, thought="Two and one…")
    """

    text: str
    num_tokens: int
    truncated: bool
    thought: str = ""
    """The reasoning, where the server keeps it apart from the text; part of ``num_tokens``."""


def user_message(text: str, images: Iterable[bytes] = ()) -> dict[str, Any]:
    """A user turn with its images: at their ``<image>`` markers, in front where there are none."""
    encoded = [image_part(image) for image in images]
    if IMAGE_MARKER not in text:
        text = IMAGE_MARKER * len(encoded) + text
    pieces = text.split(IMAGE_MARKER)
    if len(pieces) - 1 != len(encoded):
        raise EngineError(
            f"The question has {len(pieces) - 1} image markers and {len(encoded)} images. "
            "Give one marker an image, or none at all."
        )
    content: list[dict[str, Any]] = []
    for number, piece in enumerate(pieces):
        if number:
            content.append(encoded[number - 1])
        if piece.strip():
            content.append({"type": "text", "text": piece})
    return {"role": "user", "content": content}


def image_part(image: bytes) -> dict[str, Any]:
    """An encoded picture as a data URL."""
    kinds = {b"\x89PN": "png", b"\xff\xd8\xff": "jpeg", b"RIF": "webp"}
    data = base64.b64encode(image).decode("ascii")
    url = f"data:image/{kinds.get(image[:3], 'png')};base64,{data}"
    return {"type": "image_url", "image_url": {"url": url}}


class _Address:
    """One server and how it is doing."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.in_flight = 0
        self.failures_in_row = 0
        self.rests_until = 0.0
        """Not asked before this moment, unless all others rest too."""

    def fail(self) -> None:
        """Rest for longer the more often in a row it has failed; then it is tried again."""
        self.failures_in_row += 1
        rest = min(_LONGEST_REST_SECONDS, 2.0**self.failures_in_row)
        self.rests_until = time.monotonic() + rest

    def succeed(self) -> None:
        self.failures_in_row, self.rests_until = 0, 0.0


class EndpointClient:
    """Asks one or several servers that hold the same model. Safe to share between threads.

    Example:
        with EndpointClient(["http://127.0.0.1:8000/v1"]) as client:
            replies = client.chat_many([ChatRequest(messages=[user_message("2 + 2?")])])
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        model: str = "",
        api_key: str | None = None,
        max_concurrency: int = 16,
        timeout_seconds: float = 600.0,
        max_retries: int = 5,
        first_wait_seconds: float = 0.5,
        token_limit_key: str = "max_tokens",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """``token_limit_key`` is the server's name for the limit on a reply's length; ``extra`` are
        fields added to every request, a None among them leaves the field out."""
        if not urls:
            raise EngineError("No endpoint was given. Name at least one, http://host:port/v1.")
        self._addresses = [_Address(url) for url in urls]
        self._model = model
        self._plain_sampling: Mapping[str, Any] | None = None
        self._max_concurrency = max_concurrency
        self._slots = threading.BoundedSemaphore(max_concurrency)
        self._lock = threading.Lock()
        self._max_retries = max_retries
        self._first_wait = first_wait_seconds
        self._token_limit_key = token_limit_key
        self._extra = dict(extra or {})
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx.Limits(max_connections=max_concurrency + 1)
        self._pool: ThreadPoolExecutor | None = None
        self._http = httpx.Client(timeout=timeout_seconds, headers=headers, limits=limits)

    @property
    def model(self) -> str:
        """The model that is asked: the one named, else the first that the server lists."""
        if not self._model:
            listed = self._send("GET", "/models", None).get("data") or []
            if not listed:
                raise EngineError(f"{self._addresses[0].url} lists no model. Name one.")
            self._model = str(listed[0]["id"])
        return self._model

    @property
    def plain_sampling(self) -> Mapping[str, Any]:
        """What must be said so that nothing but the request decides how is sampled."""
        if self._plain_sampling is None:
            try:
                listed = self._try(self._addresses[0], "GET", "/models", None)
                models = listed.get("data") or [] if isinstance(listed, dict) else []
                owner = str(models[0].get("owned_by", "")).lower() if models else ""
            except EngineError:  # a server that lists nothing
                owner = ""
            self._plain_sampling = _PLAIN_SAMPLING if owner in _TAKE_MODEL_DEFAULTS else {}
        return self._plain_sampling

    def chat(self, request: ChatRequest) -> ChatReply:
        """The reply to one request, after as many tries as it takes or is allowed."""
        return _read_reply(self._send("POST", "/chat/completions", self.body(request)))

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """The request's fields; what is None is not sent."""
        body = {
            "model": self.model,
            "messages": list(request.messages),
            self._token_limit_key: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            **self.plain_sampling,
            **request.extra,
            "seed": request.seed,
            "stop": list(request.stop) or None,
            **self._extra,
        }
        return {key: value for key, value in body.items() if value is not None}

    def chat_many(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """Replies in the order of the requests; a request that fails for good or is refused raises,
        and the replies to the others are lost."""
        replies: dict[int, ChatReply] = {}
        with closing(self.chat_each(requests)) as found:
            for place, reply in found:
                if isinstance(reply, RefusedError):
                    raise reply
                replies[place] = reply
        return [replies[place] for place in range(len(requests))]

    def chat_each(
        self, requests: Sequence[ChatRequest]
    ) -> Generator[tuple[int, ChatReply | RefusedError], None, None]:
        """Every reply as it comes, with its request's place among the requests; for a request that
        the server refuses the refusal, which says nothing of the others.

        After a request that fails for good no more are sent. Those on their way are waited for,
        since they are paid for, and only when their replies have come is the failure raised.
        """
        if not requests:
            return
        _ = self.model, self.plain_sampling  # asked once, not by every thread
        calls = Calls(
            self._threads(),
            (partial(self._placed, place, request) for place, request in enumerate(requests)),
            at_once=self._max_concurrency,
        )
        failure: BaseException | None = None
        try:
            for call in calls:
                error = call.exception()
                if error is None:
                    yield call.result()
                else:
                    failure = failure or error
                    calls.stop()
        finally:
            calls.stop()
        if failure is not None:
            raise failure

    def _placed(self, place: int, request: ChatRequest) -> tuple[int, ChatReply | RefusedError]:
        try:
            return place, self.chat(request)
        except RefusedError as error:
            return place, error

    def _threads(self) -> ThreadPoolExecutor:
        """As many threads as requests may be on their way, for all callers together."""
        with self._lock:
            self._pool = self._pool or ThreadPoolExecutor(self._max_concurrency)
            return self._pool

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        reason = ""
        for attempt in range(self._max_retries + 1):
            if attempt:
                time.sleep(self._wait_seconds(attempt))
            with self._slots, self._least_busy() as address:
                reason = self._try(address, method, path, body)
                if isinstance(reason, dict):
                    address.succeed()
                    return reason
                address.fail()
        raise EngineError(
            f"The endpoint did not answer as it should after {self._max_retries + 1} tries: "
            f"{reason}. Check that the server runs and is not overloaded; lower the concurrency or "
            "raise the timeout if it is."
        )

    def _try(
        self, address: _Address, method: str, path: str, body: Mapping[str, Any] | None
    ) -> dict[str, Any] | str:
        """The answer, or the reason why it is worth another try."""
        url = address.url + path
        try:
            response = self._http.request(method, url, json=body)
        except httpx.TransportError as error:  # refused, reset, timed out, cut off
            return f"{url}: {type(error).__name__} {error}".rstrip()
        if _may_pass(response.status_code):
            return f"{url}: status {response.status_code}"
        if response.status_code != 200:
            about_request = body is not None and response.status_code in _ABOUT_THE_REQUEST
            raise (RefusedError if about_request else EngineError)(
                f"{url} refused the request with status {response.status_code}: "
                f"{response.text[:400]}"
            )
        try:
            answer = response.json()
        except ValueError:
            return f"{url}: the answer is not JSON"
        if not isinstance(answer, dict):
            return f"{url}: the answer is not a JSON object"
        if body is not None and not answer.get("choices"):  # an error under another status
            return f"{url}: the answer has no choices: {str(answer)[:400]}"
        return answer

    def _wait_seconds(self, attempt: int) -> float:
        """Doubles from try to try; a random half of it keeps many clients from marching in step."""
        longest = min(_LONGEST_WAIT_SECONDS, self._first_wait * 2 ** (attempt - 1))
        return longest * random.uniform(0.5, 1.0)

    @contextmanager
    def _least_busy(self) -> Iterator[_Address]:
        with self._lock:
            now = time.monotonic()
            address = min(self._addresses, key=lambda a: (a.rests_until > now, a.in_flight))
            address.in_flight += 1
        try:
            yield address
        finally:
            with self._lock:
                address.in_flight -= 1

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _may_pass(status: int) -> bool:
    """Busy, overloaded, restarting, or a proxy that cannot reach it; 501 says "never"."""
    return status in (408, 409, 425, 429) or (status >= 500 and status != 501)


def _read_reply(answer: Mapping[str, Any]) -> ChatReply:
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        thought = _thought(message)
        # A thought that was cut off may leave no content at all.
        text = (message.get("content") if thought else message["content"]) or ""
    except (KeyError, IndexError, TypeError):
        raise EngineError(
            f"The endpoint's answer has no choices[0].message.content: {str(answer)[:400]}"
        ) from None
    # Servers take the stop string off; vLLM at least says which one it was.
    stopped_by = choice.get("stop_reason")
    if isinstance(stopped_by, str) and not str(text).endswith(stopped_by):
        text = f"{text}{stopped_by}"
    num_tokens = (answer.get("usage") or {}).get("completion_tokens")
    return ChatReply(
        text=str(text),
        num_tokens=int(num_tokens) if num_tokens is not None else len(f"{thought} {text}".split()),
        truncated=choice.get("finish_reason") == "length",
        thought=thought,
    )


def _thought(message: Any) -> str:
    """What a reasoning parser has taken out of the content; the fields' order is their age."""
    found = [message.get(name) for name in _THOUGHT_FIELDS] if isinstance(message, dict) else []
    return next((text for text in found if isinstance(text, str) and text), "")
