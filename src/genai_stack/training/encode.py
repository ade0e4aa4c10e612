"""Examples to token ids and labels. A label is the token itself where it is learned and -100 elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidData
from .examples import Chat, Completion, Example, Preference

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One row of a batch; `ids`, `labels` and `positions` are equally long. A position of 0 begins a document, and no
    token attends across it."""

    ids: list[int]
    labels: list[int]
    positions: list[int]

    def cut(self, length: int) -> Encoded:
        return Encoded(self.ids[:length], self.labels[:length], self.positions[:length])

    @property
    def learned(self) -> int:
        return sum(label != IGNORED for label in self.labels)


def document(ids: list[int], labels: list[int]) -> Encoded:
    """One document by itself."""
    return Encoded(ids, labels, list(range(len(ids))))


def encode(example: Example, tokenizer: Any, loss: str) -> Encoded:
    """`loss` is `answers` (assistant turns and completions) or `all`. Raises InvalidData when the chat template can't
    render the conversation."""
    if isinstance(example, Chat):
        return _chat(example, tokenizer, loss)
    if isinstance(example, Preference):
        raise InvalidData("a preference pair is two sequences; use method dpo")
    prompt, text = (
        (example.prompt, example.completion) if isinstance(example, Completion) else ("", example.text)
    )
    before, after = _plain(tokenizer, prompt), _plain(tokenizer, text)
    after = [*after, _end_of_text(tokenizer)]
    return document(before + after, (before if loss == "all" else [IGNORED] * len(before)) + after)


def _end_of_text(tokenizer: Any) -> int:
    """What ends a document: <|endoftext|> where the vocabulary has it, else eos."""
    known = tokenizer.get_vocab().get("<|endoftext|>")
    return int(tokenizer.eos_token_id if known is None else known)


def _plain(tokenizer: Any, text: str) -> list[int]:
    """`text` as plain text: what looks like a special token isn't one."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return ids


def _chat(chat: Chat, tokenizer: Any, loss: str) -> Encoded:
    """A turn's answer begins where the generation prompt ends, and runs through its last token before the next turn.

    Text in a message that spells a special token is encoded as plain text, as the model server does.
    """
    guard = _Guard(token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    messages = [guard.hide(message) for message in chat.messages]
    ids: list[int] = []
    labels: list[int] = []
    done = ""
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _render(tokenizer, messages[:index], chat.tools, True)
        through = _render(tokenizer, messages[: index + 1], chat.tools, False)
        if not (before.startswith(done) and through.startswith(before)):
            raise InvalidData(
                "the base's chat template rewrites earlier turns, so answers can't be told from prompts"
            )
        learned = loss == "all" or bool(chat.messages[index].get("weight", 1))
        asked, answered = (
            guard.tokens(tokenizer, before[len(done) :]),
            guard.tokens(tokenizer, through[len(before) :]),
        )
        ids += asked + answered
        labels += asked if loss == "all" else [IGNORED] * len(asked)
        labels += answered if learned else [IGNORED] * len(answered)
        done = through
    return document(ids, labels)


def _render(tokenizer: Any, messages: list[dict[str, Any]], tools: Any, prompt: bool) -> str:
    try:
        text: str = tokenizer.apply_chat_template(
            messages, tools=tools, tokenize=False, add_generation_prompt=prompt
        )
    except Exception as error:  # a template raises what it likes: jinja's errors, TypeError, its own refusals
        raise InvalidData(f"the base's chat template can't render a conversation: {error}") from None
    return text


class _Guard:
    """Hides special-token text in messages from the tokenizer, and encodes it as plain text afterwards."""

    def __init__(self, specials: Iterable[str]) -> None:
        self.specials = sorted(specials, key=len, reverse=True)
        self.find = re.compile("|".join(map(re.escape, self.specials)) or r"(?!)")
        self.hidden = re.compile("\ue000([0-9]+)\ue001")

    def hide(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.find.sub(lambda hit: f"\ue000{self.specials.index(hit[0])}\ue001", value)
        if isinstance(value, dict):
            return {key: self.hide(item) for key, item in value.items()}
        return [self.hide(item) for item in value] if isinstance(value, list) else value

    def tokens(self, tokenizer: Any, text: str) -> list[int]:
        ids: list[int] = []
        for position, part in enumerate(self.hidden.split(text)):
            if position % 2:
                ids += _plain(tokenizer, self.specials[int(part)])
            elif part:
                ids += tokenizer(part, add_special_tokens=False)["input_ids"]
        return ids


def pack(documents: Iterable[Encoded], length: int, *, open_rows: int = 32) -> Iterator[Encoded]:
    """Whole documents joined into rows of up to `length`: each goes into the fullest of `open_rows` rows that has room.

    None is split. Positions start anew with each, so that none sees another, and the first token of each is not
    learned, for there is nothing to tell it from: the loss over packed rows is the loss over the documents.
    """
    rows: list[Encoded] = []
    for part in documents:
        fitting = [row for row in rows if len(row.ids) + len(part.ids) <= length]
        if fitting:
            row = max(fitting, key=lambda row: len(row.ids))
        else:
            if len(rows) == open_rows:
                yield rows.pop(max(range(open_rows), key=lambda index: len(rows[index].ids)))
            row = Encoded([], [], [])
            rows.append(row)
        row.ids.extend(part.ids)
        row.labels.extend([IGNORED, *part.labels[1:]])
        row.positions.extend(part.positions)
    yield from rows
