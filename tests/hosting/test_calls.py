"""Tool calls are taken out of an answer the same way however it is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.hosting.calls import CallParser

names = st.text("abcXYZ_-09", min_size=1, max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.just('}"\\{</tool_call>'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
calls = st.lists(st.tuples(names, st.dictionaries(st.text(max_size=4), values, max_size=3)), max_size=3)
words = st.sampled_from(["", "Sure.", "a < b", "<tool", "one\n two"])


def parse(text: str, sizes: list[int]) -> tuple[str, list[tuple[str, str]]]:
    parser, shown, found, start = CallParser(), "", [], 0
    pieces = []
    for size in sizes:
        pieces.append(text[start : start + size])
        start += size
    pieces.append(text[start:])
    for index, piece in enumerate(pieces):
        more, deltas = parser.feed(piece, last=index == len(pieces) - 1)
        shown += more
        for delta in deltas:
            if delta.id is not None:
                assert delta.index == len(found)
                found.append((delta.name or "", ""))
            name, arguments = found[delta.index]
            found[delta.index] = (name, arguments + delta.arguments)
    assert parser.count == len(found)
    return shown, found


@given(words, calls, st.booleans(), st.lists(st.integers(1, 7), max_size=60))
def test_calls_come_out_whole(
    before: str, wanted: list[tuple[str, dict[str, object]]], gap: bool, sizes: list[int]
) -> None:
    line = "\n" if gap else ""
    text = before + "".join(
        f"{line}<tool_call>{line}"
        + json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
        + f"{line}</tool_call>"
        for name, arguments in wanted
    )
    shown, found = parse(text, sizes)
    assert shown == before
    assert [(name, json.loads(arguments)) for name, arguments in found] == wanted


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_call_that_is_cut_off_keeps_what_was_written(size: int) -> None:
    text = 'Hi <tool_call>{"name": "f", "arguments": {"city": "Ro'
    assert parse(text, [size] * 60) == ("Hi", [("f", '{"city": "Ro')])


@pytest.mark.parametrize("text", ["plain", "almost <tool_cal", "tail  ", "a<tool_call", ""])
def test_text_without_calls_is_left_alone(text: str) -> None:
    assert parse(text, [1] * 20) == (text, [])


def test_text_after_a_call_is_shown() -> None:
    assert parse('<tool_call>{"name":"f","arguments":{}}</tool_call>\nDone.', [2] * 40) == (
        "\nDone.",
        [("f", "{}")],
    )
