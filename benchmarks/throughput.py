"""Tokens per second of concurrent streams through the whole stack, beside the engine alone in one process.

    python -m benchmarks.throughput

Both generate the same number of tokens for the same prompts on the built-in model, in turns within one run: the
engine alone by `ContinuousBatchingPipeline.generate`, the stack through `genai-stack up` and HTTP streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks import load
from benchmarks.overhead import KEY, free_port, reachable, running
from genai_stack import builtin

STREAMS, NEW, ROUNDS = 32, 192, 5
PROMPT = "Tell me about the harbour, the market and the people who work there. "


def engine_alone(threads: int) -> Any:
    import openvino as ov
    import openvino_genai as genai
    from tokenizers import Tokenizer

    from genai_stack.hosting.artefact import prepare

    form = prepare(builtin.model_dir(), None, "int8", Path(tempfile.mkdtemp()))
    schedule = genai.SchedulerConfig()
    schedule.cache_size, schedule.max_num_seqs, schedule.max_num_batched_tokens = 1, 64, 256
    schedule.enable_prefix_caching = True
    properties = {"INFERENCE_NUM_THREADS": threads, "DYNAMIC_QUANTIZATION_GROUP_SIZE": 64}
    pipeline = genai.ContinuousBatchingPipeline(str(form), schedule, "CPU", properties)
    tokenizer = Tokenizer.from_file(str(builtin.model_dir() / "tokenizer.json"))
    inputs = [ov.Tensor(np.array([tokenizer.encode(text(i)).ids], dtype=np.int64)) for i in range(STREAMS)]
    config = genai.GenerationConfig()
    config.max_new_tokens, config.ignore_eos, config.apply_chat_template = NEW, True, False

    def once() -> float:
        begun = time.perf_counter()
        results = pipeline.generate(inputs, [config] * STREAMS)
        tokens = sum(len(result.m_generation_ids[0]) for result in results)
        assert tokens == STREAMS * NEW, tokens
        return float(tokens / (time.perf_counter() - begun))

    return once


def text(index: int) -> str:
    return f"{index}. " + PROMPT * 3


async def streams(port: int) -> float:
    """Tokens per second; every stream must end with `[DONE]` and account for its tokens."""
    body: dict[str, object] = {"model": "builtin", "max_tokens": NEW, "ignore_eos": True, "temperature": 0}
    body |= {"stream": True, "stream_options": {"include_usage": True}}
    messages = [
        load.request("127.0.0.1", "/v1/completions", KEY, {**body, "prompt": text(i)}) for i in range(STREAMS)
    ]
    begun = time.perf_counter()
    tallies = await asyncio.gather(
        *(load.run(port, message, connections=1, requests=1) for message in messages)
    )
    seconds = time.perf_counter() - begun
    if sum(tally.lost for tally in tallies):
        raise SystemExit(
            f"{sum(t.lost for t in tallies)} streams lost: {[t.tails for t in tallies if t.lost][:1]}"
        )
    events = [tally.tails[0].rsplit(b"data: ", 2)[1] for tally in tallies]
    tokens = sum(msgspec.json.decode(event)["usage"]["completion_tokens"] for event in events)
    assert tokens == STREAMS * NEW, tokens
    return tokens / seconds


def main() -> None:
    port = free_port()
    os.environ["GENAI_STACK_API_KEY"] = KEY
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        command = ("-m", "genai_stack", "up", "--home", home, "--port", str(port), "--stop-with-parent")
        stack.enter_context(running(*command))
        reachable(port)
        alone = {threads: engine_alone(threads) for threads in (1, 2)}
        found: dict[str, list[float]] = {}
        for _ in range(ROUNDS + 1):
            for threads, once in alone.items():
                found.setdefault(f"engine alone, {threads} thread(s)", []).append(once())
            found.setdefault("through the stack", []).append(asyncio.run(streams(port)))
    medians = {name: statistics.median(values[1:]) for name, values in found.items()}
    best = max(value for name, value in medians.items() if name.startswith("engine"))
    print(f"{STREAMS} streams of {NEW} tokens, built-in model, median of {ROUNDS} rounds after one to warm up")
    for name, value in medians.items():
        print(f"{name:28}{value:9.0f} tokens/s{value / best:8.2f} of the better engine alone")


if __name__ == "__main__":
    sys.exit(main())
