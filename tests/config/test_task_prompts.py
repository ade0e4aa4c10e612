"""`[tasks]` of stack.toml, and the prompts that are shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from genai_stack.config import load_config, parse_config
from genai_stack.errors import ConfigError
from genai_stack.task_prompts import PLACES, TASKS, overridden, shipped

FILE = 'version = 3\nuser = "{text} {from}to {target}"\n[phrases]\nfrom = "out of {source} "\n'


@pytest.mark.parametrize("task", TASKS)
def test_what_is_shipped_passes_its_own_rules(task: str) -> None:
    prompt = shipped(task)  # type: ignore[arg-type]
    told = {"user": prompt.user, "system": prompt.system, "phrases": prompt.phrases, "version": prompt.version}
    assert overridden(task, told) == prompt  # type: ignore[arg-type]
    assert set(PLACES) == set(TASKS)


def test_a_file_stands_for_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "words.toml").write_text(FILE)
    stack = tmp_path / "stack.toml"
    stack.write_text('[tasks.translate]\nmodel = "m"\nfile = "words.toml"\n')
    tasks = load_config(stack).tasks
    prompt = tasks.prompt("translate")
    assert (prompt.version, prompt.user, prompt.phrases["from"]) == (
        3,
        "{text} {from}to {target}",
        "out of {source} ",
    )
    assert tasks.translate.model == "m"
    assert tasks.prompt("summarize") == shipped("summarize")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[tasks.sumarize]\nprompt = ''", 1, "did you mean 'summarize'?"),
        ("[tasks.summarize]\npromt = ''", 2, "did you mean 'prompt'?"),
        ("[tasks.summarize]\nprompt = 'x'", 2, "{text} is missing"),
        ("[tasks.summarize]\n\nprompt = '{text} {lenght}'", 3, "did you mean 'length'?"),
        ("[tasks.summarize]\nprompt = '{text} {style}'", 2, "{length} is missing"),
        ("[tasks.summarize]\nsystem = '{length}'\nprompt = '{text}'", 3, "{style} is missing"),
        ("[tasks.classify]\nprompt = 'What? {text}'", 2, "{ask} or {labels} is missing"),
        ("[tasks.translate]\nprompt = '{text} {target}'", 2, "{from} is missing"),
        ("[tasks.assistant.phrases]\ninstructed = '{system} Be kind.'", 2, "{instructions} is missing"),
        ("[tasks.assistant.phrases]\nturn = '{asked}'", 2, "{answered} is missing"),
        ("[tasks.classify.phrases]\ndescribed = '{label}'", 2, "{description} is missing"),
        ("[tasks.rewrite.phrases]\nboth = ''", 2, "{tone} is missing"),
        ("[tasks.summarize]\nsystem = '{no}'", 2, "nothing for {no}"),
        ("[tasks.answer.phrases]\nunstatd = ''", 2, "did you mean 'unstated'?"),
        ("[tasks.translate.phrases]\nfrom = 'from {target}'", 2, "nothing for {target}"),
        ("[tasks.translate]\nfile = 'nope.toml'", 2, "can't be read"),
        ("[tasks.translate]\nfile = 'words.toml'\nprompt = '{text}{target}'", 3, "beside file"),
        ("[tasks.translate]\nversion = 0", 2, ">= 1"),
    ],
    ids=str,
)
def test_what_can_t_be_used_is_told_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    (tmp_path / "words.toml").write_text(FILE)
    with pytest.raises(ConfigError) as error:
        parse_config(text, base=tmp_path)
    assert error.value.line == line
    assert says in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "[tasks.summarize]\nsystem = '{length}{style}'\nprompt = '{text}'",
        "[tasks.classify]\nprompt = 'Which of {labels}? {text}'",
        "[tasks.assistant.phrases]\ninstructed = '{instructions} {system}'",
        "[tasks.summarize.phrases]\nshort = ''",
    ],
    ids=str,
)
def test_words_that_have_a_place_for_all_are_taken(text: str) -> None:
    parse_config(text)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("usr = ''", "words.toml:1: unknown key 'usr'"),
        ("user = 5", "words.toml:1: user: Expected `str`"),
        ("user = ", "words.toml:1"),
        ("user = '{text}'", "{target} is missing"),
        ("user = '{text} {target}'", "words.toml: user: {from} is missing"),
        ("phrases = {from = ''}", "words.toml: phrases.from: {source} is missing"),
    ],
)
def test_a_file_that_can_t_be_used(tmp_path: Path, words: str, says: str) -> None:
    (tmp_path / "words.toml").write_text(words)
    with pytest.raises(ConfigError) as error:
        parse_config("[tasks.translate]\nfile = 'words.toml'", base=tmp_path)
    assert says in str(error.value)
