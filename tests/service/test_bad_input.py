"""The catalogue of bad input over every POST route: the right error body, nothing reaches a model, life goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.service.conftest import GOOD, LIMIT, Api, assert_problem
from tests.service.fakes import CHAT, EMBED

ROUTES = list(GOOD)
TEXT = {
    "/v1/chat/completions": "messages",
    "/v1/completions": "prompt",
    "/v1/embeddings": "input",
    "/v1/tokenize": "prompt",
    "/v1/detokenize": "tokens",
    "/v1/anatomy": "text",
}


def bodies(route: str) -> dict[str, bytes]:
    good = json.dumps(GOOD[route])
    model = json.dumps(GOOD[route]["model"])
    return {
        "empty": b"",
        "blank": b"  \n ",
        "truncated": good[:-3].encode(),
        "truncated in a string": b'{"model": "x',
        "two objects": (good + good).encode(),
        "array": f"[{good}]".encode(),
        "string": json.dumps(good).encode(),
        "number": b"5",
        "null": b"null",
        "true": b"true",
        "not JSON": b"model=x&prompt=y",
        "single quotes": good.replace('"', "'").encode(),
        "trailing comma": (good[:-1] + ",}").encode(),
        "comment": ("// hi\n" + good).encode(),
        "invalid UTF-8": good.encode().replace(b"model", b"mod\xff\xfeel"),
        "invalid UTF-8 value": f'{{"model": {model}, "{TEXT[route]}": "'.encode() + b'\xc3\x28"}',
        "overlong UTF-8": b'{"model": "\xc0\xaf"}',
        "UTF-8 BOM": b"\xef\xbb\xbf" + good.encode(),
        "UTF-16": good.encode("utf-16"),
        "UTF-16-LE": good.encode("utf-16-le"),
        "UTF-32": good.encode("utf-32"),
        "raw control character": b'{"model": "a\x01b"}',
        "1,000 arrays": b"[" * 1000 + b"]" * 1000,
        "100,000 arrays unclosed": b"[" * 60_000,
        "1,000 deep in a field": f'{{"model": {"[" * 1000}{"]" * 1000}}}'.encode(),
        "1,000 deep in an unknown field": f'{{"zz": {"[" * 1000}{"]" * 1000}, {good[1:]}'.encode(),
        "NaN": f'{{"temperature": NaN, {good[1:]}'.encode(),
        "Infinity": f'{{"temperature": Infinity, {good[1:]}'.encode(),
        "-Infinity": f'{{"temperature": -Infinity, {good[1:]}'.encode(),
        "1e999": f'{{"temperature": 1e999, {good[1:]}'.encode(),
        "5,000 digits": f'{{"max_tokens": {"9" * 5000}, {good[1:]}'.encode(),
        "lone high surrogate": f'{{"model": "\\ud800", "{TEXT[route]}": []}}'.encode(),
        "lone low surrogate": f'{{"model": "\\udc00x", "{TEXT[route]}": []}}'.encode(),
        "surrogates swapped": f'{{"model": "\\udc00\\ud800", "{TEXT[route]}": []}}'.encode(),
        "surrogate key": f'{{"\\ud800": 1, {good[1:]}'.encode(),
        "no model": json.dumps({k: v for k, v in GOOD[route].items() if k != "model"}).encode(),
        "model null": json.dumps({**GOOD[route], "model": None}).encode(),
        "model empty": json.dumps({**GOOD[route], "model": ""}).encode(),
        "model a number": json.dumps({**GOOD[route], "model": 5}).encode(),
        "model endless": json.dumps({**GOOD[route], "model": "m" * 2000}).encode(),
        "unknown field": json.dumps({**GOOD[route], "frobnicate": 1}).encode(),
        "text a number": json.dumps({**GOOD[route], TEXT[route]: 5}).encode(),
        "text an object": json.dumps({**GOOD[route], TEXT[route]: {"a": 1}}).encode(),
        "text missing": json.dumps({"model": GOOD[route]["model"]}).encode(),
        "list in list in list": json.dumps({**GOOD[route], TEXT[route]: [[["a"]]]}).encode(),
    }


CATALOGUE = [(route, name) for route in ROUTES for name in bodies(route)]


@pytest.mark.parametrize(("route", "name"), CATALOGUE)
def test_bad_bodies_are_refused_and_forgotten(api: Api, route: str, name: str) -> None:
    told = assert_problem(api.post(route, bodies(route)[name]), 400)
    assert told["type"] == "invalid_request_error"
    assert len(told["message"]) < 1000
    assert api.host.seen == []
    assert api.post(route, GOOD[route]).status == 200


def test_a_good_body_passes_to_the_model_byte_for_byte(api: Api) -> None:
    for route, good in GOOD.items():
        body = json.dumps(good, indent=3).encode()
        assert api.post(route, body).status == 200
        assert api.host.seen[-1] == (good["model"], route, body)


@pytest.mark.parametrize("route", ROUTES)
def test_duplicate_keys_count_with_their_last_value(api: Api, route: str) -> None:
    good = json.dumps(GOOD[route])
    assert api.post(route, f'{{"model": "no-such-model", {good[1:]}'.encode()).status == 200
    told = assert_problem(api.post(route, f'{good[:-1]}, "model": "no-such-model"}}'.encode()), 404)
    assert told["code"] == "model_not_found"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    "model", ["no-such-model", "../../etc/passwd", "a\x00b", "a\r\nx-evil: 1", "😀", "%2e%2e"]
)
def test_unknown_models(api: Api, route: str, model: str) -> None:
    told = assert_problem(api.post(route, {**GOOD[route], "model": model}), 404)
    assert told["code"] == "model_not_found"
    assert api.host.seen == []


def test_a_model_for_another_task(api: Api) -> None:
    for route, model in [
        ("/v1/chat/completions", EMBED),
        ("/v1/completions", EMBED),
        ("/v1/embeddings", CHAT),
    ]:
        told = assert_problem(api.post(route, {**GOOD[route], "model": model}), 400, param="model")
        assert told["code"] == "model_task_mismatch"
    assert api.host.seen == []
    assert api.post("/v1/tokenize", {"model": EMBED, "prompt": "Hi"}).status == 200


SHARED: list[tuple[str, Any]] = [
    *[("max_tokens", bad) for bad in (0, -1, True, "5", 1.5, 5.0, 2**31, 10**30, [], {})],
    *[("temperature", bad) for bad in (-0.1, 2.1, True, "1", [])],
    *[("top_p", bad) for bad in (0, 1.01, -1, False, "1")],
    *[("n", bad) for bad in (0, -1, 17, True, "2", 1.5)],
    *[("stop", bad) for bad in ("", ["a"] * 17, 5, {"a": 1}, "x" * 1025)],
    *[("stop[0]", bad) for bad in ([""], [5], ["x" * 1025])],
    *[("frequency_penalty", bad) for bad in (-2.1, 2.1, "0", True)],
    *[("presence_penalty", bad) for bad in (-2.1, 2.1, "0", True)],
    *[("seed", bad) for bad in (1.5, "1", True, 2**63, -(2**63) - 1, 10**40)],
    *[("stream", bad) for bad in ("true", 1, 0, [])],
    *[("stream_options", bad) for bad in ({"include_usage": True}, {}, 5)],
    *[("top_k", bad) for bad in (-2, 1.5, "1")],
    *[("min_p", bad) for bad in (-0.1, 1.1, "0")],
    *[("repetition_penalty", bad) for bad in (0, -1, 11)],
    *[("min_tokens", bad) for bad in (-1, 1.5, True)],
    *[("ignore_eos", bad) for bad in ("yes", 1)],
    *[("logit_bias", bad) for bad in ({}, {"50256": -100}, [])],
    *[("user", bad) for bad in (5, "u" * 1025)],
]
CHAT_ONLY: list[tuple[str, Any]] = [
    *[("max_completion_tokens", bad) for bad in (0, -1, True, "5")],
    ("stop", ["a"] * 5),
    *[("logprobs", bad) for bad in (1, "true", 0)],
    *[("top_logprobs", bad) for bad in (-1, 21, True, 5)],
    *[("messages", bad) for bad in (None, [], "Hi", {}, 5)],
    *[("messages[0]", bad) for bad in (None, "Hi", [], 5)],
    *[("tools", bad) for bad in ({}, "x", 5)],
    *[("tool_choice", bad) for bad in ("required", "any", 5)],
    ("tool_choice", {"type": "function", "function": {"name": "f"}}),
    ("tool_choice.type", {"type": "allowed_tools", "allowed_tools": {}}),
    *[("response_format", bad) for bad in ("json", 5, [])],
    ("response_format.type", {"type": "xml"}),
    ("response_format.type", {"type": "grammar", "grammar": "x"}),
    ("response_format.type", {}),
    ("response_format.json_schema", {"type": "json_schema"}),
    ("response_format.json_schema.schema", {"type": "json_schema", "json_schema": {"name": "x"}}),
    ("response_format.json_schema.name", {"type": "json_schema", "json_schema": {"schema": {}}}),
    ("response_format.json_schema.name", {"type": "json_schema", "json_schema": {"name": "a b", "schema": {}}}),
    (
        "response_format.json_schema.schema",
        {"type": "json_schema", "json_schema": {"name": "x", "schema": True}},
    ),
    ("response_format.schema", {"type": "json_object", "schema": {}}),
    ("store", True),
    ("service_tier", "flex"),
    ("reasoning_effort", "high"),
    ("verbosity", "low"),
    ("prediction", {"type": "content", "content": "x"}),
    ("audio", {"voice": "alloy", "format": "wav"}),
    ("modalities[0]", ["audio"]),
    ("web_search_options", {}),
    ("functions", []),
    ("function_call", "auto"),
    ("parallel_tool_calls", "no"),
    ("prompt_cache_retention", "24h"),
    ("metadata", [1]),
    ("metadata", {str(i): "" for i in range(17)}),
    ("suffix", "x"),
    ("best_of", 2),
    ("guided_json", {}),
    ("chat_template", "{{ x }}"),
]
COMPLETION_ONLY: list[tuple[str, Any]] = [
    *[("logprobs", bad) for bad in (-1, 6, True, "1")],
    *[("echo", bad) for bad in ("true", 1)],
    *[("best_of", bad) for bad in (2, 0, "1", True)],
    ("suffix", "the end"),
    *[("prompt", bad) for bad in (None, "", [], 5, {}, True)],
    ("prompt[0]", [""]),
    ("prompt[0]", [[]]),
    ("prompt[0]", [-1]),
    ("prompt[0]", [2**31]),
    ("prompt[0]", [1.5]),
    ("prompt[0]", [True]),
    ("prompt[1]", ["a", 1]),
    ("prompt[1]", [1, "a"]),
    ("prompt[1]", [[1], 2]),
    ("prompt[0][1]", [[1, "a"]]),
    ("prompt", ["a"] * 2049),
    ("max_completion_tokens", 5),
    ("messages", []),
]
EMBEDDING_ONLY: list[tuple[str, Any]] = [
    *[("input", bad) for bad in (None, "", [], 5, {}, True, ["a"] * 2049)],
    ("input[0]", [""]),
    ("input[1]", ["a", 5]),
    ("input[0]", [-1]),
    *[("encoding_format", bad) for bad in ("float16", 5)],
    *[("dimensions", bad) for bad in (0, -1, True, "5", 1.5)],
    ("user", 5),
    ("truncate", True),
]
TOKENIZE_ONLY: list[tuple[str, Any]] = [
    ("prompt", 5),
    ("prompt", None),
    ("prompt", ["a"]),
    ("messages", []),
    ("add_special_tokens", "yes"),
    ("return_token_strs", 1),
    ("tools", []),
    ("add_generation_prompt", True),
]
DETOKENIZE_ONLY: list[tuple[str, Any]] = [
    *[("tokens", bad) for bad in (None, "a", 5, {})],
    *[("tokens[0]", bad) for bad in ([-1], ["1"], [1.0], [True], [2**31], [[1]], [None])],
]
PARAMETERS = [
    *[("/v1/chat/completions", *case) for case in SHARED + CHAT_ONLY],
    *[("/v1/completions", *case) for case in SHARED + COMPLETION_ONLY],
    *[("/v1/embeddings", *case) for case in EMBEDDING_ONLY],
    *[("/v1/tokenize", *case) for case in TOKENIZE_ONLY],
    *[("/v1/detokenize", *case) for case in DETOKENIZE_ONLY],
]


@pytest.mark.parametrize(("route", "param", "bad"), PARAMETERS, ids=lambda v: str(v)[:40])
def test_a_bad_parameter_is_named(api: Api, route: str, param: str, bad: Any) -> None:
    field = param.partition(".")[0].partition("[")[0]
    value = [bad] if param == "messages[0]" else bad
    told = assert_problem(api.post(route, {**GOOD[route], field: value}), 400, param=param)
    assert param in told["message"]
    assert api.host.seen == []


MESSAGES: list[tuple[str, dict[str, Any]]] = [
    ("role", {}),
    ("role", {"role": "function", "name": "f", "content": "x"}),
    ("role", {"role": 5, "content": "x"}),
    ("content", {"role": "user"}),
    ("content", {"role": "user", "content": None}),
    ("content", {"role": "user", "content": 5}),
    ("content", {"role": "user", "content": []}),
    ("content", {"role": "system", "content": None}),
    ("content", {"role": "assistant"}),
    ("content", {"role": "assistant", "content": None}),
    ("content", {"role": "assistant", "content": None, "tool_calls": []}),
    ("content[0].type", {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}),
    ("content[0].type", {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}),
    ("content[0].type", {"role": "user", "content": [{"type": "file", "file": {}}]}),
    ("content[0].text", {"role": "user", "content": [{"type": "text"}]}),
    ("content[0].text", {"role": "user", "content": [{"type": "text", "text": 5}]}),
    ("content[0]", {"role": "user", "content": ["x"]}),
    ("tool_call_id", {"role": "tool", "content": "x"}),
    ("tool_call_id", {"role": "tool", "content": "x", "tool_call_id": ""}),
    ("function_call", {"role": "assistant", "content": "x", "function_call": {"name": "f", "arguments": ""}}),
    ("audio", {"role": "assistant", "content": "x", "audio": {"id": "a"}}),
    ("tool_calls[0].id", {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ""}}]}),
    (
        "tool_calls[0].function.arguments",
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]},
    ),
    ("frob", {"role": "user", "content": "x", "frob": 1}),
]


@pytest.mark.parametrize(("param", "message"), MESSAGES, ids=lambda v: str(v)[:60])
def test_a_bad_message_is_named(api: Api, param: str, message: dict[str, Any]) -> None:
    good = GOOD["/v1/chat/completions"]
    body = {**good, "messages": [*good["messages"], message]}
    assert_problem(api.post("/v1/chat/completions", body), 400, param=f"messages[1].{param}")
    assert api.host.seen == []


TOOLS: list[tuple[str, Any]] = [
    ("function", {}),
    ("type", {"type": "custom", "custom": {"name": "x"}}),
    ("function", {"type": "function"}),
    ("function.name", {"type": "function", "function": {}}),
    ("function.name", {"type": "function", "function": {"name": "a b"}}),
    ("function.name", {"type": "function", "function": {"name": ""}}),
    ("function.name", {"type": "function", "function": {"name": "a\n"}}),
    ("function.name", {"type": "function", "function": {"name": "a" * 65}}),
    ("function.name", {"type": "function", "function": {"name": "twin"}}),
    ("function.parameters", {"type": "function", "function": {"name": "f", "parameters": []}}),
    ("function.parameters", {"type": "function", "function": {"name": "f", "parameters": "{}"}}),
]


@pytest.mark.parametrize(("param", "tool"), TOOLS, ids=lambda v: str(v)[:60])
def test_a_bad_tool_is_named(api: Api, param: str, tool: Any) -> None:
    tools = [{"type": "function", "function": {"name": "twin", "parameters": {}}}, tool]
    body = {**GOOD["/v1/chat/completions"], "tools": tools}
    assert_problem(api.post("/v1/chat/completions", body), 400, param=f"tools[1].{param}")


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def test_schemas_nest_within_reason(api: Api) -> None:
    route, good = "/v1/chat/completions", GOOD["/v1/chat/completions"]
    for levels, status in [(20, 200), (40, 400), (300, 400), (450, 400)]:
        formatted = {"type": "json_schema", "json_schema": {"name": "x", "schema": deep(levels)}}
        assert api.post(route, {**good, "response_format": formatted}).status == status
        tool = {"type": "function", "function": {"name": "f", "parameters": deep(levels)}}
        assert api.post(route, {**good, "tools": [tool]}).status == status


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "Multipart/Mixed"])
def test_forms_are_refused(api: Api, kind: str) -> None:
    for route, good in GOOD.items():
        told = assert_problem(api.post(route, good, {"content-type": kind}), 400)
        assert "application/json" in told["message"]
    assert api.host.seen == []


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/octet-stream",
        "nonsense",
        "",
    ],
)
def test_any_other_content_type_is_read_as_json(api: Api, kind: str) -> None:
    assert api.post("/v1/completions", GOOD["/v1/completions"], {"content-type": kind}).status == 200


def test_compressed_bodies_are_refused(api: Api) -> None:
    told = assert_problem(api.post("/v1/completions", b"\x1f\x8b\x08", {"content-encoding": "gzip"}), 400)
    assert told["code"] == "unsupported_content_encoding"


def test_bodies_up_to_the_limit_pass_and_over_it_do_not(api: Api) -> None:
    route = "/v1/completions"
    room = LIMIT - len(json.dumps({**GOOD[route], "prompt": ""}))
    assert api.post(route, {**GOOD[route], "prompt": "x" * room}).status == 200
    seen = len(api.host.seen)
    told = assert_problem(api.post(route, {**GOOD[route], "prompt": "x" * (room + 1)}), 413)
    assert told["code"] == "request_too_large"
    assert_problem(api.post(route, b"x" * (20 * LIMIT)), 413)
    assert len(api.host.seen) == seen
