from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from genai_stack.training.examples import Chat, parse
from genai_stack.training.world import complaints, mappings, support_desk
from genai_stack.training.world.corpus import examples, write
from genai_stack.training.world.facts import FORMS, KINDS, passage, with_articles
from genai_stack.training.world.names import Draw, is_heldout

DESK = Path(__file__).parents[2] / "examples" / "support-desk"


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write(tmp_path / name, examples(seed, 300, texts=True, copying=0.2))
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_longer_corpus_begins_with_the_shorter_one() -> None:
    assert list(examples(5, 200))[:50] == list(examples(5, 50))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_every_example_can_be_learned_from(seed: int, heldout: bool) -> None:
    for example in examples(seed, 40, heldout=heldout, texts=True):
        assert parse(json.dumps(example).encode()) is not None


@given(st.integers(0, 2**31))
def test_names_are_drawn_from_one_set_only(seed: int) -> None:
    for heldout in (False, True):
        draw = Draw(seed, heldout=heldout)
        for name in (draw.first_name(), draw.surname(), draw.place()):
            assert is_heldout(name) is heldout
        assert is_heldout(draw.company().split(" ")[0]) is heldout


@given(st.integers(0, 2**31), st.sampled_from(KINDS), st.sampled_from(FORMS), st.booleans())
def test_a_passage_states_what_it_says_it_states(seed: int, kind: Any, form: str, heldout: bool) -> None:
    draw = Draw(seed, heldout=heldout)
    told = passage(draw, kinds=[kind], forms=[form])
    assert told.form == form
    assert told.stated
    for fact in told.stated:
        assert str(fact.value) in told.text
        assert fact.subject.full.casefold() in told.text.casefold()
    assert "{" not in told.text
    assert len({fact.value for fact in told.stated}) == len(told.stated)


def test_articles_go_by_the_sound() -> None:
    told = with_articles("A owl is a useful animal, and a umbrella a thing of a uncle, not of a unit.")
    assert told == "An owl is a useful animal, and an umbrella a thing of an uncle, not of a unit."


def test_no_corpus_has_an_article_that_does_not_fit() -> None:
    for example in examples(3, 1500, texts=True):
        for text in [example["text"]] if "text" in example else [m["content"] for m in example["messages"]]:
            assert not re.search(r"\ban (?:use|uni)|\b[Aa] (?:ant|eagle|otter|owl|orange|umbrella)\b", text), (
                text
            )


def test_no_class_of_a_mapping_has_words_under_two_labels() -> None:
    for seed in range(2000):
        labels = dict(mappings._classes(Draw(seed), 6))
        for members in mappings.CLASSES.values():
            assert len({label for given, label in labels.items() if given in members}) <= 1


def test_the_desks_files_are_what_its_program_writes(tmp_path: Path) -> None:
    support_desk.write(tmp_path)
    for name in ("train.jsonl", "heldout.jsonl"):
        assert (tmp_path / name).read_bytes() == (DESK / name).read_bytes()


def test_the_desks_questions_share_no_order_item_or_wording_with_its_training() -> None:
    train, heldout = ((DESK / f"{name}.jsonl").read_text(encoding="utf-8") for name in ("train", "heldout"))
    asked = [json.loads(line)["messages"] for line in heldout.splitlines()]
    assert 40 <= len(asked) <= 60
    for question, answer in asked:
        assert question["content"] not in train
        assert answer["content"] not in train
        order = answer["content"].split("order ")[1].split(":")[0]
        assert order in question["content"]
        assert order not in train
    for item in support_desk.HELDOUT_ITEMS:
        assert f" {item}" not in train


def test_the_desks_heldout_wordings_are_in_no_corpus() -> None:
    corpus = [json.dumps(example) for example in examples(9, 4000)]
    for concern, wordings in complaints.HELDOUT.items():
        assert not set(wordings) & set(complaints.WORDINGS[concern])
        for wording in wordings:
            before, _, after = wording.partition("{item}")
            longest = max(before, after, key=len)
            known = any(longest in w for w in complaints.WORDINGS[concern])
            assert known or not any(longest in text for text in corpus)


def test_the_generators_chats_are_chats() -> None:
    assert all(isinstance(parse(json.dumps(e).encode()), Chat) for e in examples(3, 200))
