"""A tokenizer from one's own data: deterministic, whole or not there, and good for any text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from genai_stack.errors import InvalidData, InvalidSpec
from genai_stack.training.examples import Chat, Completion, Passage, Preference
from genai_stack.training.models import open_tokenizer
from genai_stack.training.spec import parse
from genai_stack.training.tokenizer import spaced, texts, train_once

WORDS = "the river runs to the sea and the sea runs to the shore where seven tigers sleep"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    directory = tmp_path / "corpus"
    directory.mkdir()
    chat = {"messages": [{"role": "user", "content": WORDS}, {"role": "assistant", "content": "naïve 😀"}]}
    (directory / "a.jsonl").write_text(json.dumps(chat) + "\n")
    (directory / "b.jsonl").write_text("".join(json.dumps({"text": f"{WORDS} {n}"}) + "\n" for n in range(50)))
    return directory


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("learned")
    (directory / "a.jsonl").write_text(
        "".join(json.dumps({"text": f"{WORDS} {n}  x"}) + "\n" for n in range(50))
    )
    return AutoTokenizer.from_pretrained(train_once(directory / "a.jsonl", directory / "made", 600, 64))


def spec(corpus: Path, **architecture: Any) -> Any:
    return parse({
        "name": "own", "method": "pretrain", "base": "scratch", "output": str(corpus.parent / "out"),
        "data": {"train": str(corpus)}, "architecture": {"tokenizer": "train", "context": 77, **architecture},
    })  # fmt: skip


def test_pretraining_learns_its_tokenizer_from_the_data(corpus: Path) -> None:
    tokenizer = open_tokenizer(spec(corpus, vocabulary=600), corpus.parent / "out")
    assert 259 < len(tokenizer) <= 600
    assert len(tokenizer(" river runs")["input_ids"]) == 2
    assert tokenizer.model_max_length == 77
    assert tokenizer.eos_token == "<|im_end|>"
    for text in (WORDS, "naïve 😀 \0 \r\n 1234", "unseen ЖЖ 漢字"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    before = (corpus.parent / "out" / "tokenizer" / "tokenizer.json").stat().st_mtime_ns
    open_tokenizer(spec(corpus, vocabulary=600), corpus.parent / "out")
    assert (corpus.parent / "out" / "tokenizer" / "tokenizer.json").stat().st_mtime_ns == before


@given(word=st.text(st.characters(categories=("L",)), min_size=1, max_size=12))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_word_is_cut_in_the_same_places_wherever_it_stands(learned: Any, word: str) -> None:
    alone = [learned.convert_ids_to_tokens(learned(text)["input_ids"]) for text in (word, f'"{word}')]
    assert alone[1][1:] == alone[0]
    spaced_out = learned.convert_ids_to_tokens(learned(f" {word}")["input_ids"])
    assert spaced_out in (["Ġ", *alone[0]], [f"Ġ{alone[0][0]}", *alone[0][1:]])


def test_tokens_that_are_one_but_for_a_space(learned: Any) -> None:
    named = {learned.convert_ids_to_tokens(pair)[0]: pair for pair in map(list, spaced(learned))}
    assert {"Ġriver", "Ġthe", "Ġ7"} <= set(named)
    assert learned.convert_ids_to_tokens(named["Ġriver"]) == ["Ġriver", "river"]
    assert "ĠĠ" not in named


def test_other_spaces_leave_no_number_unused(tmp_path: Path) -> None:
    """A run of spaces may be learned whole, and stand in two tokens elsewhere."""
    rows = [{"text": text} for text in ("a \u00a0", "a \u00a0b")] * 40
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = AutoTokenizer.from_pretrained(train_once(tmp_path / "a.jsonl", tmp_path / "made", 300, 64))
    assert sorted(made.get_vocab().values()) == list(range(len(made)))
    assert all(made.decode(made(row["text"])["input_ids"]) == row["text"] for row in rows[:2])


def test_equal_data_gives_an_equal_tokenizer(corpus: Path, tmp_path: Path) -> None:
    here = train_once(corpus, tmp_path / "here", 512, 1024)
    command = [sys.executable, "-m", "genai_stack.training.tokenizer", str(corpus), str(tmp_path / "there")]
    subprocess.run([*command, "--vocabulary", "512"], check=True)
    for file in here.iterdir():
        assert file.read_bytes() == (tmp_path / "there" / file.name).read_bytes()
    assert len(AutoTokenizer.from_pretrained(here)) <= 512


def test_nothing_is_left_of_one_that_could_not_be_trained(corpus: Path, tmp_path: Path) -> None:
    (corpus / "b.jsonl").write_text("oops\n")
    with pytest.raises(InvalidData, match=r"b\.jsonl line 1"):
        train_once(corpus, tmp_path / "out" / "tokenizer", 512, 64)
    assert not list((tmp_path / "out").iterdir())


def test_every_string_is_learned_from() -> None:
    said = Chat([{"role": "user", "content": "a"}], [{"type": "function", "function": {"name": "f"}}])
    assert list(texts(said)) == ['{"name": "f"}', "user", "a", "user"]
    assert list(texts(Preference(Completion("p", "a"), Completion("p", "b")))) == ["p", "a", "p", "b"]
    assert list(texts(Passage("t"))) == ["t"]


@pytest.mark.parametrize("vocabulary", [100, 2**21])
def test_a_vocabulary_has_its_bounds(corpus: Path, vocabulary: int) -> None:
    with pytest.raises(InvalidSpec, match=r"architecture\.vocabulary"):
        spec(corpus, vocabulary=vocabulary)
    with pytest.raises(InvalidSpec, match="only tokenizer"):
        spec(corpus, vocabulary=600, tokenizer="builtin")
