"""Probing through several endpoints and by several workers: does twice the servers halve the time?

    python benchmarks/sharded_probe.py              # servers that only wait: the client's own cost
    python benchmarks/sharded_probe.py --real       # two real servers of a tiny model too

The waiting servers answer so many requests at a time, each after ``--latency`` seconds, so two of
them can do exactly twice as much. Wanted: 1.8 times or more, and under 2 ms of the client's
processor time a request. A real server computes: on a machine with two cores, one core each, the
client shares these cores with both.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

ANSWER = "<observe>o</observe><think>t</think><answer>3</answer>"


async def serve(port: int, latency: float, slots: int) -> None:
    """An OpenAI-compatible server that waits instead of computing."""
    free = asyncio.Semaphore(slots)
    choice = {"message": {"content": ANSWER}, "finish_reason": "stop"}
    chat = json.dumps({"choices": [choice], "usage": {"completion_tokens": 12}}).encode()
    models = json.dumps({"data": [{"id": "waiting"}]}).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                lengths = [int(s[15:]) for s in lines if s.lower().startswith("content-length:")]
                await reader.readexactly(lengths[0] if lengths else 0)
                body = models if lines[0].startswith("GET") else chat
                if body is chat:
                    async with free:
                        await asyncio.sleep(latency)
                header = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(header.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def server(command: Sequence[str], port: int, core: int | None = None) -> Iterator[str]:
    """A server process until the end of the block, on one core if told."""
    import httpx

    # Asked for its models, transformers serve looks through a cache, and fails where there is none.
    cache = tempfile.TemporaryDirectory()
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": cache.name,
    }  # fmt: skip
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, {core % (os.cpu_count() or 1)})
    url = f"http://127.0.0.1:{port}/v1"
    try:
        until = time.monotonic() + 300
        while True:
            try:
                if httpx.get(f"{url}/models", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server did not start: {' '.join(command)}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)
        cache.cleanup()


def waiting_server(arguments: argparse.Namespace, latency: float) -> Any:
    port = free_port()
    command = [sys.executable, __file__, "--serve", str(port), "--latency", str(latency),
               "--slots", str(arguments.slots)]  # fmt: skip
    return server(command, port)


def real_server(model: str, core: int) -> Any:
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", "--host",
               "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype",
               "float32"]  # fmt: skip
    return server(command, port, core)


def work(urls: Sequence[str], store: str, folder: Path, settings: dict[str, Any]) -> int:
    """One worker's part in a probe; how many requests it made."""
    from observe_r1.config.rollout import Endpoint, Sampling
    from observe_r1.data.puzzles import held_out
    from observe_r1.probe import ProbeConfig
    from observe_r1.probe.shared import shared_probe, work_on_probe
    from observe_r1.rollout.endpoint import EndpointEngine
    from observe_r1.shared import ShareSettings, open_bucket

    at_once = settings["concurrency"] * len(urls)
    config = ProbeConfig(
        rollouts=8, direct=False, batch_size=1, workers=at_once,
        sampling=Sampling(max_new_tokens=settings["tokens"]),
    )  # fmt: skip
    engine = EndpointEngine(
        Endpoint(base_url=tuple(urls), model=settings["model"], max_concurrency=at_once)
    )
    samples = held_out(settings["questions"])
    sharing = ShareSettings(block_size=8, lanes=2, poll_seconds=0.05)
    identity = config.identity("benchmark")
    shared = shared_probe(samples, config, open_bucket(store), identity, folder, sharing)
    _, mine = work_on_probe(shared, samples, engine, config)
    engine.close()
    return mine.num_rollouts


def timed(workers: Sequence[Sequence[str]], settings: dict[str, Any]) -> float:
    """Seconds until a probe is done by one worker a list of addresses, each a process; starting
    them is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        go = Path(folder) / "go"
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, "--work", *urls, "--folder", folder, "--settings",
                 json.dumps(settings)], stdout=subprocess.PIPE,
            )
            for urls in workers
        ]  # fmt: skip
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()  # it is ready
        started = time.perf_counter()
        go.touch()
        assert [process.wait() for process in processes] == [0] * len(workers)
        return time.perf_counter() - started


def own_seconds(url: str, settings: dict[str, Any]) -> float:
    """Processor time of a worker in this process."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        work([url], f"{folder}/store", Path(folder) / "unsent", settings)
        return time.process_time() - started


def be_worker(arguments: argparse.Namespace) -> None:
    base, settings = Path(arguments.folder), json.loads(arguments.settings)
    from observe_r1.data.puzzles import held_out

    held_out(settings["questions"])  # drawn before the clock starts
    import observe_r1.probe.shared
    import observe_r1.rollout.endpoint  # noqa: F401

    print("ready", flush=True)
    while not (base / "go").exists():
        time.sleep(0.005)
    work(arguments.work, str(base / "store"), base / "unsent", settings)


def compare(name: str, urls: Sequence[str], settings: dict[str, Any]) -> dict[str, Any]:
    """One server, both by one worker, both by a worker each; in turns, the fastest of each."""
    arms = {"one": [urls[:1]], "two, one worker": [urls], "two workers": [[u] for u in urls]}
    seconds = {arm: float("inf") for arm in arms}
    for _ in range(settings["repeats"]):
        for arm, workers in arms.items():
            seconds[arm] = min(seconds[arm], timed(workers, settings))
    requests = 8 * settings["questions"]
    for arm, taken in seconds.items():
        print(f"{name:18s} {arm:16s} {taken:8.2f} s  {requests / taken:8.1f} requests/s  "
              f"{seconds['one'] / taken:5.2f} times one", flush=True)  # fmt: skip
    return {"servers": name, "requests": requests, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", type=int, default=128)
    parser.add_argument("--latency", type=float, default=0.25)
    parser.add_argument("--slots", type=int, default=16, help="Requests a server does at once.")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--real-questions", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    for name in ("serve", "folder", "settings"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--work", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve(int(arguments.serve), arguments.latency, arguments.slots))
        return
    if arguments.work:
        be_worker(arguments)
        return

    settings = {"questions": arguments.questions, "concurrency": arguments.slots, "tokens": 16,
                "model": "waiting", "repeats": arguments.repeats}  # fmt: skip
    results = []
    work_once = settings | {"questions": 4, "repeats": 1}
    with ExitStack() as stack:
        at_once = stack.enter_context(waiting_server(arguments, 0.0))
        own_seconds(at_once, work_once)  # what is imported and drawn the first time
        own = own_seconds(at_once, settings) / (8 * arguments.questions)
        print(f"the client's own time  {1000 * own:.2f} ms a request (wanted: under 2)", flush=True)
    with ExitStack() as stack:
        urls = [stack.enter_context(waiting_server(arguments, arguments.latency)) for _ in "ab"]
        results.append(compare("waiting servers", urls, settings))
    if arguments.real:
        from observe_r1.policy.load import resolve_model

        model = resolve_model("tiny")  # a random one would write image pads, and end its server
        with ExitStack() as stack:
            urls = [stack.enter_context(real_server(model, core)) for core in range(2)]
            real = settings | {"questions": arguments.real_questions, "model": model,
                               "concurrency": 2}  # fmt: skip
            timed([urls], real | {"questions": 4})  # both load the model with the first request
            results.append(compare("real servers", urls, real))
    if arguments.json:
        print(json.dumps({"client_seconds_a_request": own, "results": results}))


if __name__ == "__main__":
    main()
