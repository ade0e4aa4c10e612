"""What the served model answers, against transformers on the same weights and against itself."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from genai_stack.hosting.text import load_text
from tests.hosting.served import CHAT, COMPLETIONS, Server, content, said

PROMPT = [50, 60, 70, 80, 90]


def greedy(
    model: Any, prompt: list[int], count: int, *, frequency: float = 0.0, presence: float = 0.0
) -> list[int]:
    """transformers' own choice, token by token, with OpenAI's penalties over what was generated."""
    import torch

    ids, seen = list(prompt), Counter[int]()
    for _ in range(count):
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        for token, times in seen.items():
            logits[token] -= frequency * times + presence
        ids.append(int(logits.argmax()))
        seen[ids[-1]] += 1
    return ids[len(prompt) :]


def logprobs(model: Any, ids: list[int]) -> Any:
    import torch

    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].log_softmax(-1).numpy()


def joined(chunks: list[dict[str, Any]], index: int = 0) -> str:
    parts = [
        c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"] if c["index"] == index
    ]
    return "".join(parts)


def test_greedy_answers_equal_transformers(exact: Server, tiny: Any, tiny_dir: Any) -> None:
    text = load_text(tiny_dir)
    for start in range(8):
        prompt = [start * 7 + i * 11 + 3 for i in range(5 + start)]
        answer = exact.ask(COMPLETIONS, prompt=prompt, max_tokens=20, temperature=0, ignore_eos=True)
        expected = greedy(tiny, prompt, 20)
        rows = np.sort(logprobs(tiny, prompt + expected))[len(prompt) - 1 : -1]
        ties = np.flatnonzero(rows[:, -1] - rows[:, -2] < 1e-3)
        clear = int(ties[0]) if len(ties) else len(expected)
        wanted = text._full.decode(expected[:clear]).rstrip("\ufffd")
        assert answer["choices"][0]["text"].startswith(wanted)
        assert clear > 10
        lengths = {"prompt_tokens": len(prompt), "completion_tokens": 20, "total_tokens": len(prompt) + 20}
        assert answer["usage"] == lengths


@pytest.mark.parametrize(
    "penalties", [{"frequency_penalty": 1.5}, {"presence_penalty": 2.0}, {"frequency_penalty": -1.0}]
)
def test_penalties_are_openais(exact: Server, tiny: Any, tiny_dir: Any, penalties: dict[str, float]) -> None:
    by_name = {name.partition("_")[0]: value for name, value in penalties.items()}
    expected = greedy(tiny, PROMPT, 40, **by_name)
    answer = exact.ask(COMPLETIONS, prompt=PROMPT, max_tokens=40, temperature=0, ignore_eos=True, **penalties)
    text = load_text(tiny_dir)
    assert answer["choices"][0]["text"] == text._full.decode(expected)


def test_a_stream_says_what_the_whole_answer_says(exact: Server) -> None:
    body: dict[str, Any] = {
        "messages": said("Über 漢字 🙂"),
        "seed": 11,
        "max_tokens": 60,
        "n": 2,
        "temperature": 1.3,
    }
    whole = exact.ask(**body)
    chunks = exact.stream(**body, stream_options={"include_usage": True})
    assert len({chunk["id"] for chunk in chunks}) == 1
    for index in range(2):
        mine = [c for chunk in chunks for c in chunk["choices"] if c["index"] == index]
        assert mine[0]["delta"] == {"role": "assistant", "content": ""}
        assert joined(chunks, index) == content(whole, index)
        assert [c["finish_reason"] for c in mine][-1] == whole["choices"][index]["finish_reason"]
        assert all(c["finish_reason"] is None for c in mine[:-1])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    plain = exact.stream(COMPLETIONS, prompt="x", seed=3, max_tokens=20)
    assert all("usage" not in chunk for chunk in plain)
    again = exact.ask(COMPLETIONS, prompt="x", seed=3, max_tokens=20)
    assert "".join(chunk["choices"][0]["text"] for chunk in plain) == again["choices"][0]["text"]


def test_seeds_repeat_and_n_counts_on_from_them(exact: Server) -> None:
    body: dict[str, Any] = {"messages": said("seed"), "max_tokens": 12}
    three = exact.ask(**body, seed=5, n=3)
    texts = [content(three, index) for index in range(3)]
    assert texts == [content(exact.ask(**body, seed=5 + index)) for index in range(3)]
    assert len(set(texts)) == 3
    assert content(exact.ask(**body)) != content(exact.ask(**body))


@pytest.mark.parametrize("streamed", [False, True])
def test_stop_texts_are_trimmed_exactly(exact: Server, streamed: bool) -> None:
    body: dict[str, Any] = {"messages": said("go"), "seed": 1, "max_tokens": 40, "ignore_eos": True}
    full = content(exact.ask(**body))
    for start, end in ((10, 11), (10, 16), (len(full) // 2, len(full) // 2 + 4)):
        stop = full[start:end]
        if streamed:
            chunks = exact.stream(**body, stop=stop)
            text, finish = joined(chunks), chunks[-1]["choices"][0]["finish_reason"]
        else:
            answer = exact.ask(**body, stop=["never\x01said", stop])
            text, finish = content(answer), answer["choices"][0]["finish_reason"]
            assert answer["usage"]["completion_tokens"] <= 40
        assert text == full[: full.find(stop)]
        assert finish == "stop"


def test_limits_and_ends(exact: Server, tiny_dir: Any) -> None:
    answer = exact.ask(messages=said("x"), max_completion_tokens=3, ignore_eos=True)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3
    room = exact.ask(messages=said("x"), seed=1, ignore_eos=True)["usage"]
    assert room["total_tokens"] == 512
    assert exact.ask(COMPLETIONS, prompt="x", ignore_eos=True)["usage"]["completion_tokens"] == 16


def test_chat_logprobs_equal_transformers(exact: Server, tiny: Any, tiny_dir: Any) -> None:
    text = load_text(tiny_dir)
    prompt = text.conversation(said("score me"))
    body: dict[str, Any] = {
        "messages": said("score me"),
        "max_tokens": 16,
        "logprobs": True,
        "top_logprobs": 4,
        "temperature": 0,
        "ignore_eos": True,
    }
    answer = exact.ask(**body)
    entries = answer["choices"][0]["logprobs"]["content"]
    chosen = [i for i in greedy(tiny, prompt, 16) if not text.is_special(i)]
    expected = logprobs(tiny, prompt + greedy(tiny, prompt, 16))
    assert b"".join(bytes(e["bytes"]) for e in entries).decode(errors="replace") == content(answer)
    assert len(entries) == len(chosen)
    for place, (entry, id) in enumerate(zip(entries, chosen, strict=True)):
        row = expected[len(prompt) - 1 + place]
        assert entry["logprob"] == pytest.approx(row[id], abs=2e-3)
        tops = [top["logprob"] for top in entry["top_logprobs"]]
        assert tops == sorted(tops, reverse=True)
        np.testing.assert_allclose(tops, np.sort(row)[::-1][:4], atol=2e-3)
        assert entry["top_logprobs"][0]["token"] == entry["token"]
        assert sum(math.exp(t) for t in tops) <= 1
    streamed = [c["choices"][0] for c in exact.stream(**body)]
    again = [entry for c in streamed if c["logprobs"] for entry in c["logprobs"]["content"]]
    assert [e["token"] for e in again] == [e["token"] for e in entries]
    np.testing.assert_allclose([e["logprob"] for e in again], [e["logprob"] for e in entries], atol=1e-4)
    bare = exact.ask(**{**body, "top_logprobs": None})["choices"][0]["logprobs"]["content"]
    assert all(entry["top_logprobs"] == [] for entry in bare)


def test_logprobs_end_where_a_stop_text_trims(exact: Server) -> None:
    body: dict[str, Any] = {
        "messages": said("trim"),
        "seed": 2,
        "max_tokens": 30,
        "logprobs": True,
        "ignore_eos": True,
    }
    full = content(exact.ask(**body))
    answer = exact.ask(**body, stop=full[9:12])
    shown = b"".join(bytes(e["bytes"]) for e in answer["choices"][0]["logprobs"]["content"])
    assert shown.decode(errors="replace").startswith(content(answer))


@pytest.mark.parametrize("streamed", [False, True])
def test_echo_scores_a_prompt_as_transformers_does(
    exact: Server, tiny: Any, tiny_dir: Any, streamed: bool
) -> None:
    text = load_text(tiny_dir)
    prompts = [text.encode("The quick brown fox"), [3 + i * 17 % 390 for i in range(300)]]
    body: dict[str, Any] = {"prompt": prompts, "max_tokens": 1, "temperature": 0, "logprobs": 2, "echo": True}
    if streamed:
        chunks = exact.stream(COMPLETIONS, **body)
        choices: list[dict[str, Any]] = [{"text": "", "logprobs": {}} for _ in prompts]
        for choice in (c for chunk in chunks for c in chunk["choices"]):
            mine = choices[choice["index"]]
            mine["text"] += choice["text"]
            for key, values in choice["logprobs"].items():
                mine["logprobs"].setdefault(key, []).extend(values)
    else:
        choices = exact.ask(COMPLETIONS, **body)["choices"]
    for prompt, choice in zip(prompts, choices, strict=True):
        ids = prompt + greedy(tiny, prompt, 1)
        rows = logprobs(tiny, ids)
        found = choice["logprobs"]
        assert choice["text"].startswith(text.decode(prompt))
        assert found["token_logprobs"][0] is None
        assert found["top_logprobs"][0] is None
        expected = rows[range(len(prompt) - 1), prompt[1:]]
        np.testing.assert_allclose(found["token_logprobs"][1 : len(prompt)], expected, atol=2e-3)
        for place in range(1, len(prompt)):
            best = max(found["top_logprobs"][place].values())
            assert best == pytest.approx(rows[place - 1].max(), abs=2e-3)
        assert found["text_offset"] == sorted(found["text_offset"])
        assert len({len(values) for values in found.values()}) == 1


def test_echo_without_scores_is_the_prompt_in_front(exact: Server) -> None:
    answer = exact.ask(COMPLETIONS, prompt=["The ", "A "], echo=True, max_tokens=2, n=2, seed=1)
    assert [c["text"][:4] for c in answer["choices"]][:2] == ["The ", "The "]
    assert [c["index"] for c in answer["choices"]] == [0, 1, 2, 3]
    assert answer["choices"][2]["text"].startswith("A ")
    assert answer["choices"][0]["logprobs"] is None


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 18, "maximum": 117},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "kind": {"enum": ["naïve", 'quo"te', 3, None]},
        "when": {"type": "string", "format": "date-time"},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-\\d{3}$"},
        "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        "pair": {
            "type": "array",
            "prefixItems": [{"const": "x"}, {"type": "null"}],
            "items": False,
            "minItems": 2,
        },
        "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/leaf"}]},
        "map": {"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": None},
    },
    "required": ["name", "age", "score", "kind", "when", "code", "tags", "pair", "next"],
    "additionalProperties": False,
    "$defs": {
        "leaf": {
            "type": "object",
            "properties": {
                "id": {"oneOf": [{"const": 1}, {"const": 2}]},
                "maybe": {"type": ["boolean", "null"]},
            },
            "required": ["id"],
            "additionalProperties": False,
        }
    },
}
SCHEMA["properties"].pop("map")  # type: ignore[attr-defined]


def test_a_random_model_keeps_to_a_schema(exact: Server) -> None:
    import jsonschema

    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA, "strict": True}}
    for seed in range(6):
        answer = exact.ask(messages=said("x"), response_format=form, seed=seed, max_tokens=400)
        assert answer["choices"][0]["finish_reason"] == "stop"
        validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
        validator.validate(json.loads(content(answer)))


def test_a_random_model_writes_an_object(exact: Server) -> None:
    for seed in range(4):
        answer = exact.ask(
            messages=said("x"), response_format={"type": "json_object"}, seed=seed, max_tokens=200
        )
        if answer["choices"][0]["finish_reason"] == "stop":
            assert isinstance(json.loads(content(answer)), dict)
        assert content(answer).startswith("{")


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters if properties else None}}


TOOLS = [
    tool("weather", city={"enum": ["Rome", "Zürich"]}, days={"type": "integer", "minimum": 1, "maximum": 9}),
    tool("now"),
]


def check_calls(calls: list[dict[str, Any]]) -> None:
    for call in calls:
        assert call["id"].startswith("call_")
        assert call["type"] == "function"
        arguments = json.loads(call["function"]["arguments"])
        if call["function"]["name"] == "now":
            assert arguments == {}
        else:
            assert set(arguments) == {"city", "days"}
            assert arguments["city"] in ("Rome", "Zürich")
            assert 1 <= arguments["days"] <= 9


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}], ids=str)
def test_a_random_model_calls_the_tools_it_must(exact: Server, choice: Any) -> None:
    for seed in range(4):
        body: dict[str, Any] = {"messages": said("x"), "tools": TOOLS, "tool_choice": choice, "seed": seed}
        body |= {"max_tokens": 150, "parallel_tool_calls": False}
        message = (answer := exact.ask(**body))["choices"][0]["message"]
        assert answer["choices"][0]["finish_reason"] == "tool_calls"
        assert message["content"] is None
        assert len(message["tool_calls"]) == 1
        check_calls(message["tool_calls"])
        if choice != "required":
            assert message["tool_calls"][0]["function"]["name"] == "weather"
        chunks = [c["choices"][0] for c in exact.stream(**body)]
        deltas = [call for c in chunks for call in c["delta"].get("tool_calls", [])]
        assert deltas[0]["function"]["name"] == message["tool_calls"][0]["function"]["name"]
        assert deltas[0]["id"].startswith("call_")
        assert all(set(d) == {"index", "function"} for d in deltas[1:])
        arguments = "".join(d["function"]["arguments"] for d in deltas)
        assert arguments == message["tool_calls"][0]["function"]["arguments"]
        assert chunks[-1]["finish_reason"] == "tool_calls"


def test_a_model_may_call_several_tools(exact: Server) -> None:
    counts = set()
    for seed in range(8):
        answer = exact.ask(messages=said("x"), tools=TOOLS, tool_choice="required", seed=seed, max_tokens=280)
        calls = answer["choices"][0]["message"]["tool_calls"]
        if answer["choices"][0]["finish_reason"] == "tool_calls":
            check_calls(calls)
            assert len({call["id"] for call in calls}) == len(calls)
            counts.add(len(calls))
    assert max(counts) > 1


def test_tools_that_arent_called_leave_an_ordinary_answer(exact: Server) -> None:
    for choice in ("auto", "none"):
        answer = exact.ask(messages=said("x"), tools=TOOLS, tool_choice=choice, seed=1, max_tokens=10)
        message = answer["choices"][0]["message"]
        assert "tool_calls" not in message
        assert message["content"]


def test_tools_and_a_form_go_together(exact: Server) -> None:
    form = {
        "type": "json_schema",
        "json_schema": {
            "name": "n",
            "schema": {"type": "object", "properties": {}, "additionalProperties": False},
        },
    }
    for seed in range(4):
        answer = exact.ask(messages=said("x"), tools=TOOLS, response_format=form, seed=seed, max_tokens=280)
        message = answer["choices"][0]["message"]
        if answer["choices"][0]["finish_reason"] != "length":
            assert message["content"] == "{}" or message["tool_calls"]


def test_tokenize_gives_what_a_request_starts_from(exact: Server, tiny_dir: Any) -> None:
    text = load_text(tiny_dir)
    found = exact.ask("/v1/tokenize", prompt="The 漢", return_token_strs=True)
    assert found["tokens"] == text.encode("The 漢")
    assert found["count"] == len(found["tokens"]) == len(found["token_strs"])
    assert found["max_model_len"] == 512
    spans = exact.ask("/v1/tokenize", prompt="The cat", return_offsets=True, add_special_tokens=False)[
        "offsets"
    ]
    assert "".join("The cat"[start:end] for start, end in spans) == "The cat"
    chat = exact.ask("/v1/tokenize", messages=said("hi"))
    assert chat["count"] == exact.ask(messages=said("hi"), max_tokens=1)["usage"]["prompt_tokens"]
    assert exact.ask("/v1/detokenize", tokens=found["tokens"]) == {"prompt": "The 漢"}


@pytest.mark.parametrize(
    ("route", "body", "status", "code", "param"),
    [
        (CHAT, {"messages": said("x"), "model": "other"}, 404, "model_not_found", "model"),
        (CHAT, {"messages": said("word " * 600)}, 400, "context_length_exceeded", "messages"),
        (CHAT, {"messages": said("x" * 10**6)}, 400, "context_length_exceeded", "messages"),
        (CHAT, {"messages": said("x"), "max_tokens": 512}, 400, "context_length_exceeded", "messages"),
        (COMPLETIONS, {"prompt": [5] * 512}, 400, "context_length_exceeded", "prompt"),
        (COMPLETIONS, {"prompt": [400]}, 400, "invalid_value", "prompt"),
        (COMPLETIONS, {"prompt": "x", "suffix": "y"}, 400, "unsupported_parameter", "suffix"),
        (COMPLETIONS, {"prompt": "x", "logit_bias": {"1": 1}}, 400, "unsupported_parameter", "logit_bias"),
        (COMPLETIONS, {"prompt": "x", "best_of": 2}, 400, "unsupported_parameter", "best_of"),
        (COMPLETIONS, {"prompt": ["x"] * 300}, 400, "invalid_value", "prompt"),
        ("/v1/embeddings", {"input": "x"}, 400, "unsupported_model", "model"),
        ("/v1/detokenize", {"tokens": [400]}, 400, "invalid_value", "tokens"),
        ("/v1/nothing", {"messages": said("x")}, 404, "unknown_route", None),
    ],
    ids=str,
)
def test_refusals_name_what_is_wrong(
    exact: Server, route: str, body: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    found, error = exact.refusal(route, **body)
    assert (found, error["code"], error["param"]) == (status, code, param)
    assert exact.ask(messages=said("fine"), max_tokens=1)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe{", b'{"model": NaN}', b"[" * 5000], ids=str)
def test_a_broken_body_is_a_bad_request(exact: Server, body: bytes) -> None:
    status, answer = exact.send("POST", "/invocations", body)
    assert status == 400
    assert set(answer["error"]) == {"message", "type", "param", "code"}


def test_a_body_without_a_route_goes_by_its_shape(exact: Server) -> None:
    for body, kind in (({"messages": said("x")}, "chat.completion"), ({"prompt": "x"}, "text_completion")):
        status, answer = exact.send("POST", "/invocations", {"model": "base", "max_tokens": 1, **body})
        assert (status, answer["object"]) == (200, kind)


def test_other_paths_and_methods(exact: Server) -> None:
    assert exact.send("GET", "/nothing")[0] == 404
    status, answer = exact.send("GET", "/invocations")
    assert (status, answer["error"]["code"]) == (405, "method_not_allowed")
