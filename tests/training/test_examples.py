from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.training.examples import Chat, Completion, Passage, Preference, parse, typed
from genai_stack.training.strict import Fault

ASK = {"role": "user", "content": "Hi"}
SAY = {"role": "assistant", "content": "Hello"}


def chat(*messages: Any, **more: Any) -> bytes:
    return json.dumps({"messages": list(messages), **more}).encode()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"{}", "has neither"),
        (b'{"text": ""}', "'text' is empty"),
        (b'{"text": 3}', "'text' isn't a string"),
        (b'{"prompt": "a"}', "'completion' is missing"),
        (b'{"completion": "a"}', "'prompt' is missing"),
        (b'{"messages": []}', "isn't a list with turns"),
        (b'{"messages": {"role": "user"}}', "isn't a list with turns"),
        (chat(ASK), "no assistant turn"),
        (chat(ASK, {**SAY, "weight": 0}), "no assistant turn"),
        (chat(ASK, {**SAY, "weight": 2}), "weight is 0 or 1"),
        (chat({"role": "bot", "content": "x"}, SAY), "messages[0]: role 'bot'"),
        (chat(ASK, SAY, {"role": "system", "content": "x"}), "messages[2]: a system turn comes first"),
        (chat(ASK, {"role": "assistant", "content": " "}), "messages[1]: content is empty"),
        (chat(ASK, {"role": "assistant", "content": None}), "messages[1]: content isn't a string"),
        (chat("Hi", SAY), "messages[0] isn't an object"),
        (chat({**ASK, "tool_calls": []}, SAY), "only an assistant turn has tool_calls"),
        (chat(ASK, {**SAY, "tool_calls": [{}]}), "needs a function with a name"),
        (
            chat(ASK, {**SAY, "tool_calls": [{"function": {"name": "f", "arguments": 1}}]}),
            "arguments are an object",
        ),
        (chat(ASK, SAY, tools="x"), "'tools' isn't a list of objects"),
        (b'{"text": ' + b"[" * 5000 + b"]" * 5000 + b"}", ""),
        (b'{"text": NaN}', "not JSON: NaN is no number"),
        (b'{"text": "a", "n": -Infinity}', "-Infinity is no number"),
        (b'{"text": "a", "n": 1e999}', "the number 1e999 is too large"),
        (b'{"text": "a", "n": 18446744073709551616}', "is over 64 bits"),
        (b'{"text": "a", "n": ' + b"9" * 100_000 + b"}", "is over 64 bits"),
        (b'{"text": "a", "text": "b"}', "the key 'text' stands twice"),
        (b'{"text": "a", "x": {"y": 1, "y": 1}}', "the key 'y' stands twice"),
        (b'{"text": "\\ud800"}', "half of a surrogate pair"),
        (b'{"text": "a\0"}', "holds NUL bytes"),
        (b"\0" * 40, "holds NUL bytes"),
        (b'{"text": "a", "x": ' + b"[" * 1000 + b"]" * 1000 + b"}", "nested over 100 deep"),
        (b'{"text": "a", "x": ' + b"[" * 101 + b"]" * 101 + b"}", "nested over 100 deep"),
        (b"[\n", "one object takes one line here"),
        (chat(ASK, SAY, tools="[1]"), "'tools' isn't a list of objects"),
        (chat(ASK, SAY, tools="{"), "'tools' isn't a list of objects: not JSON"),
        (b'{"chosen": "a"}', "'rejected' is missing"),
        (b'{"chosen": "a", "rejected": "a"}', "are the same"),
        (b'{"prompt": "p", "chosen": "a", "rejected": " "}', "'rejected' is empty"),
        (b'{"prompt": "p", "chosen": "a", "rejected": 1}', "'rejected' isn't a string"),
        (b'{"chosen": "a", "rejected": ["b"]}', "two strings or two lists"),
        (json.dumps({"chosen": [SAY], "rejected": [{**SAY, "content": "x"}]}).encode(), "share no first turn"),
        (json.dumps({"chosen": [ASK], "rejected": [ASK, SAY]}).encode(), "where the other begins"),
        (json.dumps({"prompt": [ASK, SAY], "completion": [SAY]}).encode(), "'prompt' ends before one"),
        (json.dumps({"prompt": [ASK], "completion": [ASK]}).encode(), "begins with an assistant turn"),
        (json.dumps({"prompt": [ASK], "completion": "x"}).encode(), "'completion' isn't a list with turns"),
    ],
)
def test_a_faulty_line_says_what_is_wrong(line: bytes, fault: str) -> None:
    with pytest.raises(Fault) as found:
        parse(line)
    assert fault in str(found.value)


def test_the_three_shapes_and_a_blank_line() -> None:
    assert parse(b'{"text": "a", "id": 1}') == Passage("a")
    assert parse(b'{"prompt": "", "completion": "b"}') == Completion("", "b")
    assert parse(chat(ASK, SAY)) == Chat([ASK, SAY])
    assert parse(b" \n") is None


def test_what_looks_odd_and_is_well() -> None:
    deep = b"[" * 99 + b"]" * 99
    assert parse(b'{"text": "\\ud83d\\ude00", "x": ' + deep + b"}") == Passage("\U0001f600")
    assert parse(b'{"text": "a\\u0000b [[[[ {{{{' + b"[{" * 200 + b'"}') is not None
    assert parse(b'{"text": "a", "n": 18446744073709551615}') == Passage("a")
    assert parse(chat(ASK, SAY, tools='[{"type": "function"}]')) == Chat([ASK, SAY], [{"type": "function"}])
    assert parse(chat(ASK, SAY, tools="")) == Chat([ASK, SAY])


def pair(**value: Any) -> Preference:
    example = parse(json.dumps(value).encode())
    assert isinstance(example, Preference)
    return example


def test_a_preference_of_strings_with_and_without_its_prompt() -> None:
    said = Preference(Completion("The sky is", " blue."), Completion("The sky is", " green."))
    assert pair(prompt="The sky is", chosen=" blue.", rejected=" green.") == said
    assert pair(chosen="The sky is blue.", rejected="The sky is green.") == said
    words = Preference(Completion("It is", " bluish"), Completion("It is", " blue"))
    assert pair(chosen="It is bluish", rejected="It is blue") == words
    assert pair(chosen="yes", rejected="no") == Preference(Completion("", "yes"), Completion("", "no"))


def test_a_preference_of_turns_with_and_without_its_prompt() -> None:
    good, bad = SAY, {**SAY, "content": "Go away"}
    said = Preference(Chat([ASK, good]), Chat([ASK, bad]))
    assert pair(prompt=[ASK], chosen=[good], rejected=[bad]) == said
    assert pair(chosen=[ASK, good], rejected=[ASK, bad]) == said
    assert pair(prompt="Hi", chosen=[ASK, good], rejected=[ASK, bad], messages=[ASK, good]) == said


def test_what_a_prompt_holds_is_not_learned() -> None:
    quiet = {**SAY, "weight": 0}
    example = parse(json.dumps({"prompt": [ASK, SAY, ASK], "completion": [SAY]}).encode())
    assert example == Chat([ASK, quiet, ASK, SAY])
    bad = {**SAY, "content": "No"}
    said = pair(chosen=[ASK, SAY, ASK, SAY], rejected=[ASK, SAY, ASK, bad])
    assert said == Preference(Chat([ASK, quiet, ASK, SAY]), Chat([ASK, quiet, ASK, bad]))


@given(st.text(max_size=30), st.text(max_size=30))
def test_two_strings_keep_all_their_text(chosen: str, rejected: str) -> None:
    try:
        said = parse(json.dumps({"chosen": chosen, "rejected": rejected}).encode())
    except Fault:
        return
    assert isinstance(said, Preference)
    assert isinstance(said.chosen, Completion)
    assert isinstance(said.rejected, Completion)
    assert said.chosen.prompt == said.rejected.prompt
    assert said.chosen.prompt + said.chosen.completion == chosen
    assert said.rejected.prompt + said.rejected.completion == rejected


@given(st.binary(max_size=200))
def test_any_bytes_are_an_example_or_a_fault(line: bytes) -> None:
    with contextlib.suppress(Fault):
        parse(line)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["role", "content", "tool_calls", "function", "name", "arguments", "weight", "x"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["messages", "tools", "prompt", "completion", "text", "chosen", "rejected"]),
        _JSON | st.lists(_JSON),
    )
)
def test_any_object_is_an_example_or_a_fault(value: dict[str, Any]) -> None:
    try:
        example = parse(json.dumps(value).encode())
    except Fault:
        return
    assert isinstance(example, (Chat, Completion, Passage, Preference))


def test_a_preference_as_openai_has_it() -> None:
    asked, good, bad = [{"role": "user", "content": "Hi"}], "Yes?", "No."
    answers = {
        "preferred_output": [{"role": "assistant", "content": good}],
        "non_preferred_output": [{"role": "assistant", "content": bad}],
    }
    theirs = typed({"input": {"messages": asked, "tools": []}, **answers})
    ours = {"chosen": answers["preferred_output"], "rejected": answers["non_preferred_output"]}
    assert theirs == typed({"prompt": asked, **ours})
    for faulty in (
        {"input": asked, **answers},
        {**answers},
        {"input": {"messages": asked}, "preferred_output": []},
    ):
        with pytest.raises(Fault):
            typed(faulty)
