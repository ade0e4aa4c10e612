"""The batching engine, seen as: add sequences, step them all, cancel some. Knows token ids only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import openvino as ov
import openvino_genai as genai

from .architecture import Architecture
from .scoring import Scorer, Session
from .wire import FAILED, LENGTH, RUNNING, STOPPED, Generate, Load, Output, Tags, TokenScore

BLOCK = 32
"""Tokens in one block of the paged cache, on the CPU."""
_BATCHED_TOKENS = 256
_FINISH: dict[Any, int] = {
    genai.GenerationFinishReason.STOP: STOPPED,
    genai.GenerationFinishReason.TOOL_CALL: STOPPED,
    genai.GenerationFinishReason.LENGTH: LENGTH,
}


def properties(precision: str, threads: int) -> dict[str, Any]:
    """float32 throughout where that is asked for; else int8 weights with activations quantised as they come."""
    exact = {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }
    quick = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 64}
    return {"INFERENCE_NUM_THREADS": threads, **(exact if precision == "f32" else quick)}


class _Live(msgspec.Struct):
    handle: Any
    request: Generate
    session: Session | None = None


class Generator:
    """`scorer` is called when the first sequence asks for log-probabilities."""

    def __init__(
        self,
        form: Path,
        load: Load,
        shape: Architecture,
        stops: list[int],
        threads: int,
        scorer: Callable[[], Scorer],
    ) -> None:
        self._pipeline = genai.ContinuousBatchingPipeline(
            str(form), _schedule(load, shape), "CPU", properties(load.precision, threads)
        )
        self._stops, self._scorer = stops, scorer
        self._live: dict[int, _Live] = {}

    @property
    def busy(self) -> bool:
        return bool(self._live)

    def add(self, request: Generate) -> Output | None:
        """None when the sequence is on its way, else the output that ends it."""
        prompt = ov.Tensor(np.array([request.prompt], dtype=np.int64))
        try:
            handle = self._pipeline.add_request(request.id, prompt, self._config(request))
        except RuntimeError as error:
            print(f"request {request.id} was refused by the engine: {error}", flush=True)
            return Output(request.id, [], FAILED)
        self._live[request.id] = _Live(handle, request)
        return None

    def cancel(self, ids: list[int]) -> None:
        for id in ids:
            live = self._live.pop(id, None)
            if live:
                live.handle.cancel()

    def step(self) -> list[Output]:
        """One step of every sequence that fits into the batch, and what each of them gained."""
        self._pipeline.step()
        outputs = []
        for id, live in list(self._live.items()):
            output = self._read(id, live)
            if output:
                outputs.append(output)
                if output.finish != RUNNING:
                    del self._live[id]
        return outputs

    def _read(self, id: int, live: _Live) -> Output | None:
        tokens: list[int] = []
        finish = RUNNING
        while live.handle.can_read():
            for part in live.handle.read().values():
                tokens += part.generated_ids
                finish = _FINISH.get(part.finish_reason, finish)
        if not tokens and finish == RUNNING:
            if live.handle.get_status() == genai.GenerationStatus.RUNNING:
                return None
            finish = FAILED
        scores = self._score(live, tokens) if live.request.scored is not None and tokens else None
        return Output(id, tokens, finish, scores)

    def _score(self, live: _Live, tokens: list[int]) -> list[TokenScore]:
        if live.session is None:
            live.session = self._scorer().session()
            live.session.feed(live.request.prompt)
        return live.session.score(tokens, live.request.scored or 0)

    def _config(self, request: Generate) -> Any:
        config = genai.GenerationConfig()
        config.apply_chat_template = False
        config.max_new_tokens = request.max_new
        config.min_new_tokens = request.min_new
        config.ignore_eos = request.ignore_eos
        if self._stops:
            config.eos_token_id = self._stops[0]
            config.stop_token_ids = set(self._stops)
        if request.temperature > 0:
            config.do_sample = True
            config.temperature = max(request.temperature, 0.01)
            config.top_p = request.top_p
            config.rng_seed = request.seed
            if request.top_k > 0:
                config.top_k = request.top_k
            if request.min_p > 0:
                config.min_p = request.min_p
        config.repetition_penalty = request.repetition
        config.presence_penalty = request.presence
        config.frequency_penalty = request.frequency
        if request.grammar is not None:
            config.structured_output_config = _structure(request.grammar)
        return config


def _schedule(load: Load, shape: Architecture) -> Any:
    """Room for `max_running` whole contexts, within `kv_cache_mb`, and for one context at least."""
    blocks = -(-shape.context // BLOCK) + 1
    per_block = BLOCK * shape.kv_bytes_per_token(4 if load.precision == "f32" else 1)
    config = genai.SchedulerConfig()
    config.num_kv_blocks = max(blocks, min(blocks * load.max_running, load.kv_cache_mb * 2**20 // per_block))
    config.cache_size = 0
    config.max_num_seqs = load.max_running
    config.max_num_batched_tokens = max(_BATCHED_TOKENS, load.max_running)
    config.enable_prefix_caching = True
    return config


def _structure(grammar: str | Tags) -> Any:
    kind = genai.StructuredOutputConfig
    if isinstance(grammar, str):
        return kind(grammar=grammar)
    tags = [kind.Tag(begin, kind.EBNF(inner), end) for begin, inner, end in grammar.tags]
    triggered = kind.TriggeredTags([grammar.trigger], tags, stop_after_first=grammar.at_most_one)
    return kind(structural_tags_config=triggered)
