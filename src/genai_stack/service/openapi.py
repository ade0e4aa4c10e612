"""GET /openapi.json: OpenAPI 3.1, generated from the very types that requests are validated against."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, get_args

import msgspec

from ..protocol import anatomy, ranking, replies, requests, task_replies, tasks
from . import key_routes, media, moderating
from .exchange import Exchange
from .intake import WAIT_MOST_SECONDS
from .resources.operations import OPERATIONS as RESOURCES
from .resources.operations import Operation
from .usage_routes import UsageReport

_POSTS: dict[str, tuple[str, type[Any], type[Any], type[Any] | None]] = {
    "/v1/chat/completions": (
        "Answer a conversation",
        requests.ChatRequest,
        replies.ChatCompletion,
        replies.ChatCompletionChunk,
    ),
    "/v1/completions": (
        "Continue or score text",
        requests.CompletionRequest,
        replies.Completion,
        replies.Completion,
    ),
    "/v1/embeddings": ("Embed texts", requests.EmbeddingRequest, replies.EmbeddingList, None),
    "/v1/tokenize": ("Turn text into token ids", requests.TokenizeRequest, replies.Tokenized, None),
    "/v1/detokenize": ("Turn token ids into text", requests.DetokenizeRequest, replies.Detokenized, None),
    "/v1/rerank": ("Put documents into the order of a query", ranking.RerankRequest, ranking.Reranked, None),
    "/v1/anatomy": ("Look inside a model while it reads", anatomy.AnatomyRequest, anatomy.Anatomy, None),
    "/v1/tasks/summarize": (
        "Summarise a text",
        tasks.SummarizeRequest,
        task_replies.Summary,
        task_replies.TaskDelta,
    ),
    "/v1/tasks/translate": (
        "Translate a text",
        tasks.TranslateRequest,
        task_replies.Translation,
        task_replies.TaskDelta,
    ),
    "/v1/tasks/rewrite": (
        "Rewrite a text",
        tasks.RewriteRequest,
        task_replies.Rewriting,
        task_replies.TaskDelta,
    ),
    "/v1/tasks/classify": ("Label a text", tasks.ClassifyRequest, task_replies.Classification, None),
    "/v1/tasks/extract": ("Take data out of a text", tasks.ExtractRequest, task_replies.Extraction, None),
    "/v1/tasks/answer": (
        "Answer a question from sources, with citations",
        tasks.AnswerRequest,
        task_replies.Answer,
        task_replies.TaskDelta,
    ),
    "/v1/tasks/assistant": (
        "Answer a question of a conversation from sources, with citations",
        tasks.AssistantRequest,
        task_replies.Assistance,
        task_replies.TaskDelta,
    ),
}
_WAIT = {
    "name": "x-genai-wait",
    "in": "header",
    "description": "Seconds to wait for a copy of the model where none is up",
    "schema": {"type": "integer", "minimum": 0, "maximum": WAIT_MOST_SECONDS},
}
_ONCE = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same request with the same key has one effect, and the first answer, for a day",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_MODEL = {
    "name": "model",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "Its id",
}
_SPAN = [
    {"name": name, "in": "query", "description": what, "schema": {"type": "string"}}
    for name, what in (
        ("from", "First day, UTC; the first of this month unless told"),
        ("to", "Last day, included; today unless told"),
        ("by", "What a row is for: some of day, tenant, key, model, with commas"),
        ("tenant", "This tenant's only; another than the key's own takes the scope admin"),
    )
]
OPERATIONS = (*RESOURCES, *key_routes.OPERATIONS, *media.OPERATIONS, *moderating.OPERATIONS)
_REF = "#/components/schemas/{name}"


async def described(exchange: Exchange) -> None:
    await exchange.answer(200, document())


@cache
def document() -> bytes:
    """The encoded document; the same bytes every time."""
    kinds = {kind for _, *kinds in _POSTS.values() for kind in kinds if kind is not None}
    kinds |= {
        replies.ModelList,
        replies.ModelCard,
        replies.ModelDeleted,
        replies.Health,
        replies.ProblemBody,
        UsageReport,
    }
    for op in OPERATIONS:
        kinds |= {one for kind in (op.request, op.reply, op.event) if kind is not None for one in _each(kind)}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    paths: dict[str, Any] = {route: {"post": _post(route)} for route in _POSTS}
    paths["/v1/models"] = {"get": _get("listModels", "List the models", replies.ModelList)}
    paths["/v1/models/{model}"] = {
        "get": _get("showModel", "Show a model", replies.ModelCard) | {"parameters": [_MODEL]},
        "delete": _get("deleteModel", "Delete a fine-tune", replies.ModelDeleted) | {"parameters": [_MODEL]},
    }
    paths["/v1/usage"] = {
        "get": _get("showUsage", "What was used, and what it cost", UsageReport) | {"parameters": _SPAN}
    }
    for op in OPERATIONS:
        paths.setdefault(op.path, {})[op.method] = _operation(op)
    paths["/health"] = {"get": _get("health", "Whether the API is up", replies.Health) | {"security": []}}
    paths["/ready"] = {"get": _get("ready", "Whether the model answers", replies.Health) | {"security": []}}
    paths["/metrics"] = {"get": _plain("metrics", "Prometheus metrics", "text/plain", {"type": "string"})}
    paths["/openapi.json"] = {"get": _plain("openapi", "This document", "application/json", {"type": "object"})}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "genai-stack",
                "version": "1",
                "description": "OpenAI's API over models of one's own. Every failure has the body ProblemBody.",
            },
            "security": [{"key": []}],
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _post(route: str) -> dict[str, Any]:
    summary, request, reply, event = _POSTS[route]
    content = {"application/json": {"schema": _ref(reply)}}
    if event is not None:
        content["text/event-stream"] = {"schema": _ref(event)}
    return {
        "operationId": route.removeprefix("/v1/").replace("/", "_"),
        "summary": summary,
        "parameters": [_WAIT, _ONCE],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(request)}}},
        "responses": {"200": {"description": "The answer", "content": content}, "default": _failure()},
    }


def _operation(op: Operation) -> dict[str, Any]:
    about = _get(op.id, op.summary, op.reply) if op.reply else _content(op)
    if op.event is not None:
        about["responses"]["200"]["content"]["text/event-stream"] = {"schema": _ref(op.event)}
    named = [{**_MODEL, "name": name} for name in re.findall(r"\{(\w+)\}", op.path)]
    asked = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in op.query]
    if parameters := [*named, *asked]:
        about["parameters"] = parameters
    if op.request is not None:
        kind = "multipart/form-data" if op.form else "application/json"
        about["requestBody"] = {"required": True, "content": {kind: {"schema": _ref(op.request)}}}
    return about


def _content(op: Operation) -> dict[str, Any]:
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    responses = {
        "200": {"description": "All of it", "content": content},
        "206": {"description": "The range that was asked for", "content": content},
        "default": _failure(),
    }
    return {"operationId": op.id, "summary": op.summary, "responses": responses}


def _get(operation: str, summary: str, reply: type[Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(reply)}}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": {"description": "The answer", "content": content}, "default": _failure()},
    }


def _plain(operation: str, summary: str, kind: str, schema: dict[str, str]) -> dict[str, Any]:
    return {
        "operationId": operation,
        "summary": summary,
        "security": [],
        "responses": {"200": {"description": "The answer", "content": {kind: {"schema": schema}}}},
    }


def _failure() -> dict[str, Any]:
    return {"description": "A failure", "content": {"application/json": {"schema": _ref(replies.ProblemBody)}}}


def _ref(kind: Any) -> dict[str, Any]:
    references = [{"$ref": _REF.format(name=one.__name__)} for one in _each(kind)]
    return references[0] if len(references) == 1 else {"anyOf": references}


def _each(kind: Any) -> tuple[type[Any], ...]:
    """The types of a union, else the type."""
    return get_args(kind) or (kind,)
