"""A follow-up question that stands alone, whatever a model makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.protocol.items import InputText, MessageItem, OutputText
from genai_stack.protocol.tasks import QUESTION
from genai_stack.tasks.remembering import Turn, remembered
from genai_stack.tasks.standing import usable, with_words

TURNS = [Turn("What does the shop at the harbour sell?", "It sells bread.")]
TEXT = st.text(max_size=60) | st.text(alphabet="ab 漢字 x1?", max_size=60)


@pytest.mark.parametrize(
    ("question", "rewritten"),
    [
        ("How much does it cost?", "How much does the bread at the harbour cost?"),
        ("Why?", "Why does the shop at the harbour sell bread?"),
        ("Wie viel kostet es?", "Wie viel kostet das Brot (bread) im shop?"),
        ("它多少钱?", "bread多少钱?"),
        ("Who sells it?", "Who sells it?"),
    ],
)
def test_a_question_that_is_still_the_question(question: str, rewritten: str) -> None:
    assert usable(rewritten, question, TURNS)


@pytest.mark.parametrize(
    ("question", "rewritten"),
    [
        ("How much does it cost?", ""),
        ("How much does it cost?", "It sells bread."),
        ("How much does it cost?", "cost " * 60),
        ("Who opened it?", "Did Wizard Zork of Oz open Xanadu?"),
        ("它多少钱?", "天气很好。"),
    ],
)
def test_one_that_isn_t(question: str, rewritten: str) -> None:
    assert not usable(rewritten, question, TURNS)


def test_the_last_turns_words_once_each() -> None:
    assert with_words("And the price?", TURNS) == "And the price? shop harbour sell sells bread"


@given(st.text(min_size=1, max_size=QUESTION), st.lists(st.builds(Turn, TEXT, TEXT), max_size=4))
def test_what_is_searched_for_begins_with_the_question(question: str, turns: list[Turn]) -> None:
    query = with_words(question, turns)
    assert query.startswith(question)
    assert len(query) <= QUESTION
    assert isinstance(usable(question, question, turns), bool)


ROLES = st.sampled_from(["user", "assistant", "system", "developer"])


@given(st.lists(st.tuples(ROLES, st.text(max_size=5)), max_size=12), st.integers(1, 5))
def test_every_word_that_was_said_is_in_a_turn(messages: list[tuple[str, str]], most: int) -> None:
    items = [
        MessageItem(str(n), role, [OutputText(text) if role == "assistant" else InputText(text)])  # type: ignore[arg-type]
        for n, (role, text) in enumerate(messages)
    ]
    memory = remembered(items, 100)
    spoken = [text.strip() for role, text in messages if role in ("user", "assistant") and text.strip()]
    assert "\n".join(part for turn in memory.turns for part in turn if part) == "\n".join(spoken)
    assert all(turn.answered for turn in memory.turns[:-1])
    assert [*remembered(items, most).turns] == [*memory.turns][-most:]
    told = len(memory.told.encode(errors="replace"))
    assert memory.size == told + sum(
        len(part.encode(errors="replace")) for turn in memory.turns for part in turn
    )
