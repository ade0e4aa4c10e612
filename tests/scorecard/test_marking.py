"""What is right, and what isn't however near it comes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_stack.scorecard import marking, wording
from genai_stack.training.world.questions import Question

PASSAGE = (
    "On Friday, Ada Brandt opened a bakery in Lissen. It sells bread for 14 euros and 1,250 people came. "
    "The bakers' dog, Rex, was not stopped at the door at 14:30."
)


def question(expected: Any = None, facts: tuple[str, ...] = (), task: str = "chat") -> Question:
    return Question(task=task, body={}, expected=expected, facts=facts, passage=PASSAGE)


@pytest.mark.parametrize("said", ["Ada Brandt", "ada brandt.", "  Ada Brandt. \n", "ADA BRANDT ."])
def test_an_answer_may_differ_in_case_space_and_full_stop(said: str) -> None:
    assert marking.answer(question("Ada Brandt"), said)
    assert marking.answer(question("Ada Brandt."), said)


@pytest.mark.parametrize(
    "said", ["Ada", "Ada  Brandt", "Ada Brandt!", "It is Ada Brandt.", "Ada Brandt..", "", None]
)
def test_an_answer_is_nothing_else(said: str | None) -> None:
    assert not marking.answer(question("Ada Brandt"), said)


def test_where_nothing_is_stated_nothing_is_said() -> None:
    assert marking.unstated(question(), None)
    assert not marking.unstated(question(), "")
    assert not marking.unstated(question(), "That is not stated.")


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("Die Straße.", True),
        (" Die Straße.\n", True),
        ("Die Strasse.", False),
        ("die Straße.", False),
        ("Die Straße", False),
        (None, False),
    ],
)
def test_a_translation_is_exact(said: str | None, right: bool) -> None:
    assert marking.exact(question("Die Straße."), said) is right


def test_a_label_is_the_label() -> None:
    assert marking.label(question("food"), "food")
    for said in ("Food", "food ", "sport", None):
        assert not marking.label(question("food"), said)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ({"price": 14, "names": ["Ada", None], "open": True}, True),
        ({"open": True, "names": ["Ada", None], "price": 14.0}, True),
        ({"price": 14, "names": ["Ada", None], "open": 1}, False),
        ({"price": "14", "names": ["Ada", None], "open": True}, False),
        ({"price": 14, "names": [None, "Ada"], "open": True}, False),
        ({"price": 14, "names": ["Ada"], "open": True}, False),
        ({"price": 14, "names": ["Ada", None]}, False),
        ({"price": 14, "names": ["Ada", None], "open": True, "more": None}, False),
        (None, False),
        ([], False),
    ],
)
def test_data_is_the_same_data(said: Any, right: bool) -> None:
    expected = {"price": 14, "names": ["Ada", None], "open": True}
    assert marking.same_data(question(expected), said) is right


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("Ada Brandt opened a bakery; bread is 14 euros.", True),
        ("ADA BRANDT’S bread costs 14.", True),
        ("Ada opened a bakery; bread is 14 euros.", False),
        ("Brandt Ada sells bread for 14 euros.", False),
        ("Ada Brandt sells bread for 140 euros.", False),
        ("Ada Brandt sells bread for 14.50 euros.", False),
        ("Ada Brandt came at 14:30.", False),
        ("", False),
        (None, False),
    ],
)
def test_facts_are_kept_whole_and_in_order(said: str | None, right: bool) -> None:
    assert marking.facts_kept(question(facts=("Ada Brandt", "14")), said) is right


@pytest.mark.parametrize(
    ("said", "new"),
    [
        ("Ada Brandt's bakery in Lissen, which opens on Friday, is selling bread for 14 euros.", []),
        ("She opened it there, and Rex was with the people who had come.", []),
        ("The door, 14:30: 1,250 people, a baker and the dog.", []),
        ("Ada Brandt opened a bakery in Ostrava.", ["Ostrava"]),
        ("Ada Brandts opened a bakery.", ["Brandts"]),
        ("Bread is 15 euros, at 14:31, for 1250 people.", ["15", "14:31", "1250"]),
        ("A cheap bakery never stops all people.", ["cheap", "never", "all"]),
        ("On Saturday Ada Brandt opened a shop.", ["Saturday", "shop"]),
        ("Ben opened a bakery.", ["Ben"]),
    ],
)
def test_what_is_invented_is_named(said: str, new: list[str]) -> None:
    assert wording.invented(said, PASSAGE) == new
    assert marking.none_invented(question(), said) is (new == [])


def test_other_words_may_be_those_of_the_expected_summary_and_names_and_numbers_may_not() -> None:
    card = Question(
        task="summarize",
        body={},
        expected="Ada Brandt leads Toxa Tools, which has 10 guests.",
        facts=("Ada Brandt", "10"),
        passage="manager: Ada Brandt; company: Toxa Tools; guests: 10",
    )
    assert marking.none_invented(card, "Toxa Tools is led by Ada Brandt.")
    for said in (
        "Toxa Tools is owned by Ada Brandt.",
        "Toxa Tools is led by Ada Brand.",
        "Toxa Tools has 100 guests.",
        "Ben leads Toxa Tools.",
        "It is Leads that Ada Brandt has.",
    ):
        assert not marking.none_invented(card, said), said


def test_a_name_that_looks_like_a_function_word_is_invented_at_the_start_too() -> None:
    assert wording.invented("Will opened a bakery. May will have bread.", PASSAGE) == ["Will", "May"]
    assert wording.invented("Will opened it in May.", "In May a bakery was opened by Will.") == []


def test_a_summary_that_says_nothing_invents_nothing_and_is_still_not_right() -> None:
    for said in ("", "  ", None):
        assert not marking.none_invented(question(), said)


@pytest.mark.parametrize(
    "forms",
    [
        "open opens opened opening",
        "stop stops stopped stopping",
        "make makes made making",
        "carry carries carried carrying",
        "sell sells sold selling",
        "see sees saw seen seeing",
        "agree agrees agreed agreeing",
        "use uses used using",
        "die dies died dying",
        "pass passes passed passing",
        "travel travels travelled traveled travelling",
        "bring brings brought bringing",
        "need needs needed needing",
        "write writes wrote written writing",
        "city cities",
        "box boxes",
        "bus buses",
        "child children",
        "house houses",
        "Ada Ada's",
    ],
)
def test_forms_of_a_word_are_one(forms: str) -> None:
    assert len({wording.form(word) for word in forms.split()}) == 1


@pytest.mark.parametrize(
    "pair", ["open close", "bus bed", "cat car", "red reed", "sell buy", "king kin", "on one"]
)
def test_other_words_are_others(pair: str) -> None:
    one, other = pair.split()
    assert wording.form(one) != wording.form(other)


@given(st.text(max_size=80))
def test_a_text_invents_nothing_against_itself(text: str) -> None:
    assert wording.invented(text, text) == []
    assert wording.kept(text, text)
