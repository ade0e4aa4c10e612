"""What tasks are made of: cutting, neutral text, citations, confidence."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.protocol.tasks import Label
from genai_stack.task_prompts import shipped
from genai_stack.tasks import asking
from genai_stack.tasks.citing import citations
from genai_stack.tasks.classify import _json, _values
from genai_stack.tasks.confidence import of_choice, of_flags, of_text
from genai_stack.tasks.cutting import cut, sentences, spans
from genai_stack.tasks.model import Candidate, Events, Token
from genai_stack.tasks.neutral import MARK, STEP, Restoring, neutral, restored
from genai_stack.tasks.sources import Chunk, by_relevance, groups

CONTROLS = (
    "<|im_start|> <|im_end|> <|endoftext|> <s> </s> [INST] [/INST] <<SYS>> <</SYS>> <start_of_turn> <end_of_turn> "
    "<bos> <eos> <pad> <unk> <think> </think> <tool_call> <|start_header_id|> <|eot_id|> <｜User｜> "
    "<｜end▁of▁sentence｜> [TOOL_CALLS] [AVAILABLE_TOOLS] <|channel|> <|return|>"
).split()
TEXT = st.text(max_size=200) | st.text(alphabet="ab. \n!?。", max_size=200)


@given(TEXT, st.integers(1, 9))
def test_parts_are_the_text(text: str, parts: int) -> None:
    found = cut(text, parts)
    assert "".join(found) == text
    assert len(found) <= parts
    assert all(found) or not text


@given(TEXT, st.integers(1, 50))
def test_stretches_are_the_text_and_not_too_long(text: str, size: int) -> None:
    found = list(spans(text, size))
    assert "".join(text[a:b] for a, b in found) == text
    assert all(0 < b - a <= size for a, b in found)


@given(TEXT)
def test_sentences_leave_out_nothing_but_space(text: str) -> None:
    found = [text[a:b] for a, b in sentences(text)]
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(each == each.strip() and each for each in found)


def test_sentences_end_where_they_end() -> None:
    text = "Dr. Who? It costs 4.50 euros! “Yes.” she said.\nNext"
    assert [text[a:b] for a, b in sentences(text)][1] == "Who?"
    assert "It costs 4.50 euros!" in [text[a:b] for a, b in sentences(text)]


@given(st.lists(st.sampled_from(CONTROLS) | st.text(max_size=5), max_size=12))
def test_no_control_token_is_left_and_all_comes_back(parts: list[str]) -> None:
    text = "".join(parts).replace(MARK, "")
    safe = neutral(text)
    assert not [control for control in CONTROLS if control in safe]
    assert restored(safe) == text
    pieces = Restoring()
    assert "".join(pieces.fed(character) for character in safe) == text


@given(st.integers(-20, 20), st.sampled_from(CONTROLS))
def test_no_control_token_is_left_at_the_end_of_a_step(shift: int, control: str) -> None:
    text = "x" * (STEP + shift) + control + "x" * (STEP - shift - len(control)) + control
    assert control not in neutral(text)
    assert restored(neutral(text)) == text


@pytest.mark.parametrize("ask", ["one", "several"])
def test_labels_come_with_their_descriptions_wherever_they_stand(ask: str) -> None:
    values = _values(shipped("classify"), ask, [Label("food"), Label("sport", "games")])
    assert values["labels"] == "food, sport (games)"
    assert values["labels"] in values["ask"]


async def test_long_texts_are_looked_through_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def told(text: str) -> str:
        threads.append(threading.current_thread())
        return neutral(text)

    monkeypatch.setattr(asking, "neutral", told)
    prompt = shipped("summarize")
    short, long = {"text": "<s>"}, {"text": "<s>" * STEP}
    assert [m["content"].count(MARK) for m in await asking.conversation(prompt, short)] == [1]
    assert {*threads} == {threading.current_thread()}
    threads.clear()
    for values, examples in ((long, []), (short, [(long, "a")]), (short, [(short, long["text"])])):
        messages = await asking.conversation(prompt, values, examples)
        assert sum(m["content"].count(MARK) for m in messages) >= STEP
        assert threading.current_thread() not in threads


def test_plain_text_stays_as_it_is() -> None:
    for text in ("a < b and b > c", "see [1] and [Smith 2020]", "<p>HTML</p>", "if x <y: [a]"):
        assert neutral(text) == text


WORDS = st.lists(st.sampled_from("the cat dog sat ran on mat Monday 4 euros Ostrava".split()), max_size=12)
SENTENCES = st.lists(WORDS.map(" ".join), max_size=6).map(". ".join)


@given(SENTENCES, SENTENCES | st.text(max_size=30), st.lists(SENTENCES | st.text(max_size=80), max_size=4))
def test_every_cited_span_stands_in_its_source(answer: str, question: str, sources: list[str]) -> None:
    chunks = [Chunk(text[a:b], a, b, index) for index, text in enumerate(sources) for a, b in spans(text, 40)]
    found = citations(answer, question, chunks)
    assert len(found) <= 3
    for cited in found:
        assert cited.index is not None
        source = sources[cited.index]
        assert source[cited.start : cited.end] == cited.text
        assert cited.text.strip() == cited.text != ""
        assert cited.chunk[0] <= cited.start < cited.end <= cited.chunk[1]


def test_what_nothing_says_is_not_cited() -> None:
    chunks = [Chunk("The cat sat. The dog ran.", 0, 25, 0)]
    assert citations("Zebras.", "Who flew?", chunks) == []
    assert [c.text for c in citations("Yes.", "Did the dog run, and was it the dog?", chunks)] == [
        "The dog ran."
    ]
    assert [c.text for c in citations("A dog.", "Who ran?", chunks)] == ["The dog ran."]


def test_relevant_chunks_come_first() -> None:
    texts = ["all about cats", "all about dogs", "all about the river Elbe"]
    chunks = [Chunk(text, 0, len(text), n) for n, text in enumerate(texts)]
    assert [c.index for c in by_relevance("What about the Elbe?", chunks)] == [2, 0, 1]
    assert [[c.index for c in group] for group in groups(chunks, 3)] == [[0], [1], [2]]
    assert [chunk for group in groups(chunks, 2) for chunk in group] == chunks


def token(text: str, p: float, **others: float) -> Token:
    return Token(
        text, math.log(p), None, [Candidate(name, math.log(q)) for name, q in {text: p, **others}.items()]
    )


def test_confidence_of_a_choice() -> None:
    labels = {name: _json(name).encode() for name in ("sport", "spring", "war")}
    tokens = [
        token('"', 0.1, x=0.05),
        token("sp", 0.6, war=0.2, zzz=0.2),
        token('ort"', 0.3, ring=0.1),
        token("", 1),
    ]
    rest = [labels["spring"], labels["war"]]
    assert of_choice(tokens, labels["sport"], rest) == pytest.approx(0.75 * 0.75)
    unheard = [token('"', 0.9), token("war", 0.01, x=0.9), token('"', 1)]
    assert of_choice(unheard, labels["war"], [labels["sport"]]) == pytest.approx(0.5)  # no rival is told of
    assert of_choice(None, b"x", []) is None


def test_confidence_of_flags() -> None:
    text = '{"a": true, "b": false}'
    tokens = [
        token('{"a":', 1),
        token(" true", 0.8, **{" false": 0.2}),
        token(', "b": ', 1),
        token("f", 0.9, t=0.1),
    ]
    tokens += [token("alse}", 1)]
    found = of_flags(tokens, {"a": (text.index("true"), True), "b": (text.index("false"), False)})
    assert found == {"a": pytest.approx(0.8), "b": pytest.approx(0.1)}
    assert of_flags(None, {"a": (6, True)}) == {"a": None}


def test_confidence_of_a_text() -> None:
    assert of_text([token("a", 0.25), token("b", 1.0)]) == pytest.approx(0.5)
    assert of_text([]) is None


EVENT = st.binary(max_size=9).filter(lambda data: not {10, 13} & set(data) and data.strip() != b"[DONE]")


@given(st.lists(EVENT, max_size=5), st.integers(1, 9))
def test_events_whatever_ends_where(data: list[bytes], size: int) -> None:
    stream = b": hello\r\n\r\n" + b"".join(b"data: " + each + b"\n\n" for each in data) + b"data: [DONE]\n\n"
    events = Events()
    found = [event for at in range(0, len(stream), size) for event in events.fed(stream[at : at + size])]
    assert found == [each.strip() for each in data if each.strip()]
