"""A batch input file's lines, checked one by one: OpenAI's `{"custom_id", "method": "POST", "url", "body"}`.

One file names one endpoint and one model. The file is read as a stream; what is kept of it is the custom ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal, get_args

import msgspec

from ..errors import RequestError
from .decoding import decode
from .requests import ChatRequest, CompletionRequest, EmbeddingRequest
from .tasks import (
    AnswerRequest,
    ClassifyRequest,
    ExtractRequest,
    RewriteRequest,
    SummarizeRequest,
    TranslateRequest,
)

Endpoint = Literal[
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/tasks/summarize",
    "/v1/tasks/answer",
    "/v1/tasks/classify",
    "/v1/tasks/translate",
    "/v1/tasks/extract",
    "/v1/tasks/rewrite",
]
ENDPOINTS: tuple[str, ...] = get_args(Endpoint)
VLLM_ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings")
"""Those of them that `vllm run-batch` knows, by which a stage's jobs answer."""
MAX_LINES = 50_000
MAX_BYTES = 200 * 1024 * 1024
"""Of a file; one that is larger is refused unread. OpenAI's limits, as is MAX_LINES."""
MAX_INPUTS = 50_000
"""Embedding inputs in all lines together."""
LINE_BYTES = 16 * 1024 * 1024
MAX_CUSTOM_ID = 512
FAULTS_SHOWN = 20
KEYS = ("custom_id", "method", "url", "body")
_KINDS = (
    *(ChatRequest, CompletionRequest, EmbeddingRequest),
    *(SummarizeRequest, AnswerRequest, ClassifyRequest, TranslateRequest, ExtractRequest, RewriteRequest),
)
BODIES: dict[str, type[Any]] = dict(zip(ENDPOINTS, _KINDS, strict=True))


class Fault(msgspec.Struct, frozen=True):
    """Why a line can't run. `line` is 1-based; None where the file as a whole is at fault."""

    line: int | None
    code: str
    message: str
    param: str | None = None


class Inspection(msgspec.Struct, frozen=True):
    """What a file holds. `faults` are the first 20 of `faulty`; `url` and `model` are those of the first good line."""

    lines: int
    sha256: str
    url: str | None
    model: str | None
    faults: tuple[Fault, ...]
    faulty: int


def examine(file: BinaryIO, size: int, *, endpoint: str | None = None, model: str | None = None) -> Inspection:
    """Checks every line of a file of `size` bytes. Without `endpoint` or `model`, the first good line's count."""
    check = _Checker(endpoint, model)
    digest = hashlib.sha256()
    if size > MAX_BYTES:
        check.refuse(None, _Refused("file_too_large", f"{size} bytes; a batch has at most {MAX_BYTES}"))
        return check.result("")
    for number, line in numbered(file, digest):
        check.line(number, line)
        if check.lines > MAX_LINES or number > 2 * MAX_LINES:  # blank lines count for something too
            what = f"over {MAX_LINES} lines; split the file into several batches"
            check.refuse(None, _Refused("too_many_lines", what))
            break
    if not check.lines:
        check.refuse(None, _Refused("empty_file", "no request in it; each line is one JSON object"))
    return check.result(digest.hexdigest())


def numbered(file: BinaryIO, digest: Any = None) -> Iterator[tuple[int, bytes | None]]:
    """Lines from 1; None for one that is too long, whose rest is passed over. Everything read goes into `digest`."""
    number = 0

    def readline(limit: int) -> bytes:
        part = file.readline(limit)
        if digest is not None:
            digest.update(part)
        return part

    while line := readline(LINE_BYTES + 2):
        number += 1
        if len(line.rstrip(b"\r\n")) <= LINE_BYTES:
            yield number, line
            continue
        while line and not line.endswith(b"\n"):
            line = readline(1 << 20)
        yield number, None


class _Refused(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        self.code, self.message, self.param = code, message, param


class _Checker:
    def __init__(self, endpoint: str | None, model: str | None) -> None:
        self.endpoint, self.model = endpoint, model
        self.lines = self.faulty = self._inputs = 0
        self._faults: list[Fault] = []
        self._seen: dict[str, int] = {}

    def result(self, sha256: str) -> Inspection:
        return Inspection(self.lines, sha256, self.endpoint, self.model, tuple(self._faults), self.faulty)

    def refuse(self, line: int | None, why: _Refused) -> None:
        self.faulty += 1
        if len(self._faults) < FAULTS_SHOWN:
            self._faults.append(Fault(line, why.code, why.message, why.param))

    def line(self, number: int, line: bytes | None) -> None:
        if line is not None and not line.strip():
            return
        self.lines += 1
        try:
            if line is None:
                raise _Refused("line_too_long", f"longer than {LINE_BYTES} bytes")
            self._check(number, _object(line))
        except _Refused as why:
            self.refuse(number, why)

    def _check(self, number: int, value: dict[str, msgspec.Raw]) -> None:
        self._check_keys(value)
        custom_id = _string(value, "custom_id")
        if not 1 <= len(custom_id) <= MAX_CUSTOM_ID:
            raise _Refused("invalid_custom_id", f"custom_id has 1 to {MAX_CUSTOM_ID} characters", "custom_id")
        first = self._seen.setdefault(custom_id, number)
        if first != number:
            what = f"custom_id {_short(custom_id)} is line {first}'s already; each line needs its own"
            raise _Refused("duplicate_custom_id", what, "custom_id")
        if (method := _string(value, "method")) != "POST":
            raise _Refused("invalid_method", f"method {_short(method)} isn't POST", "method")
        url = _string(value, "url")
        if url not in ENDPOINTS:
            what = f"url {_short(url)} isn't one of {', '.join(ENDPOINTS)}"
            raise _Refused("invalid_url", what, "url")
        if url != (self.endpoint or url):
            what = f"url {url} isn't {self.endpoint}; a batch has one endpoint"
            raise _Refused("mismatched_endpoint", what, "url")
        request = _body(url, bytes(value["body"]))
        if request.model is None:
            what = "body.model is missing; in a batch each request names its model"
            raise _Refused("missing_required_parameter", what, "body.model")
        if request.model != (self.model or request.model):
            what = f"body.model {_short(request.model)} isn't {_short(self.model or '')}; a batch has one model"
            raise _Refused("mismatched_model", what, "body.model")
        if isinstance(request, EmbeddingRequest):
            self._inputs += len(request.inputs)
            if self._inputs > MAX_INPUTS:
                what = f"over {MAX_INPUTS} embedding inputs up to here; split the file into several batches"
                raise _Refused("too_many_inputs", what, "body.input")
        self.endpoint, self.model = url, request.model

    def _check_keys(self, value: dict[str, msgspec.Raw]) -> None:
        for key in KEYS:
            if key not in value:
                raise _Refused("missing_required_parameter", f"{key!r} is missing", key)
        if extra := next((key for key in value if key not in KEYS), None):
            known = ", ".join(KEYS)
            raise _Refused(
                "unknown_parameter", f"{_short(extra)} isn't a known key; there are: {known}", extra[:64]
            )


def _body(url: str, raw: bytes) -> Any:
    try:
        request = decode(BODIES[url], raw)
    except RequestError as error:
        where = f"body.{error.param}" if error.param else "body"
        raise _Refused(error.code or "invalid_request", f"body: {error.message}", where) from None
    if getattr(request, "vector_store_id", None):
        what = "body.vector_store_id: a batch has no vector stores; send `passages` or `documents`"
        raise _Refused("unsupported_parameter", what, "body.vector_store_id")
    if getattr(request, "stream", None):
        what = "body.stream: a batch's answers aren't streamed; leave it out"
        raise _Refused("unsupported_parameter", what, "body.stream")
    return request


def _object(line: bytes) -> dict[str, msgspec.Raw]:
    try:
        line.decode()
        return msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except UnicodeDecodeError as error:
        raise _Refused("invalid_json", f"not UTF-8: {error.reason} at byte {error.start}") from None
    except msgspec.ValidationError:
        raise _Refused("invalid_json", "not a JSON object") from None
    except msgspec.DecodeError as error:
        raise _Refused("invalid_json", f"not JSON: {error}") from None
    except RecursionError:
        raise _Refused("invalid_json", "nested too deeply") from None


def _string(value: dict[str, msgspec.Raw], key: str) -> str:
    try:
        return msgspec.json.decode(value[key], type=str)
    except msgspec.DecodeError:
        raise _Refused("invalid_type", f"{key} isn't a string", key) from None


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")
