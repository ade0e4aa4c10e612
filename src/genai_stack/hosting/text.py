"""Text to token ids and back: the model's tokenizer and chat template. The engine sees ids only.

What a user wrote can never become a control token. Before a conversation is rendered, each string in it that holds
(or, at an edge, could complete) a control token's text gets a marker into it; the rendered prompt is then cut at the
control tokens the template itself wrote, the marker is dropped, and the pieces are encoded as plain text.
"""

from __future__ import annotations

import codecs
import re
import secrets
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import Tokenizer

from ..errors import InvalidModel, RequestError
from .architecture import read_json
from .template import ChatTemplate, load_template

_GPT2_BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]
_BYTE_OF = {chr(b): b for b in _GPT2_BYTES} | {
    chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in _GPT2_BYTES)
}
_HEX_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class _Added(msgspec.Struct):
    id: int
    content: str
    special: bool = False
    lstrip: bool = False
    rstrip: bool = False


class Text:
    """One model's tokenizer; safe to share between requests and threads."""

    def __init__(self, tokenizer_json: bytes, template: ChatTemplate | None) -> None:
        """Raises InvalidModel when the tokenizer can't be read."""
        try:
            raw = msgspec.json.decode(tokenizer_json, type=dict[str, Any])
            added = msgspec.convert(raw.get("added_tokens") or [], list[_Added])
            self._full = Tokenizer.from_str(tokenizer_json.decode())
            plain, later = _without_added(raw)
            self._first = Tokenizer.from_str(msgspec.json.encode(plain).decode())
            self._later = Tokenizer.from_str(msgspec.json.encode(later).decode()) if later else self._first
        except Exception as error:  # tokenizers raises bare Exception
            raise InvalidModel(f"tokenizer.json can't be used: {error}") from error
        for tokenizer in (self._full, self._first, self._later):
            tokenizer.no_truncation()
            tokenizer.no_padding()
        self._template = template
        self._added = {token.content: token for token in added}
        self._special = {token.id for token in added if token.special}
        self._byte_level = '"ByteLevel"' in msgspec.json.encode(raw.get("decoder")).decode()
        longest_first = sorted(self._added, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._bytes: dict[int, bytes] = {}
        vocabulary = self._full.get_vocab(with_added_tokens=True)
        self.size = max(vocabulary.values()) + 1
        self.longest = max(map(len, vocabulary))
        """Characters that the longest token stands for, at most."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """A raw prompt: control tokens are read as such; `special` adds what the model wants around a text."""
        ids: list[int] = self._full.encode(text, add_special_tokens=special).ids
        return ids

    def encode_plain(self, text: str, *, special: bool = False) -> list[int]:
        """No part of `text` becomes a control token."""
        ids: list[int] = self._first.encode(text, add_special_tokens=special).ids
        return ids

    def spans(self, text: str, *, control: bool, special: bool) -> list[tuple[int, tuple[int, int] | None]]:
        """Ids as `encode` (`control`) or `encode_plain` makes them, each with the characters [start, end) of `text` it
        was made from; None for what the model wants around a text."""
        found = (self._full if control else self._first).encode(text, add_special_tokens=special)
        around = found.special_tokens_mask
        return [
            (id, None if added else span)
            for id, span, added in zip(found.ids, found.offsets, around, strict=True)
        ]

    def conversation(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None, *, answer: bool = True
    ) -> list[int]:
        """The prompt that the chat template makes of `messages`; `answer` opens the assistant's turn.
        Raises RequestError when the template refuses them or the model has none."""
        if self._template is None:
            raise RequestError(
                "This model has no chat template; use /v1/completions.",
                param="messages",
                code="no_chat_template",
            )
        marker = self._marker(messages, tools)
        prompt = self._template.render(self._guard(messages, marker), self._guard(tools, marker), answer)
        return self._encode_rendered(prompt, marker)

    def decode(self, ids: list[int]) -> str:
        """The whole text, control tokens spelt out."""
        text: str = self._full.decode(ids, skip_special_tokens=False)
        return text

    def token_bytes(self, id: int) -> bytes:
        """The bytes one token stands for; none for an id that names no token."""
        found = self._bytes.get(id)
        if found is None:
            found = self._bytes[id] = self._spell(self._full.id_to_token(id) or "")
        return found

    def token_text(self, id: int) -> str:
        """The token as text, broken UTF-8 replaced."""
        return self.token_bytes(id).decode(errors="replace")

    def is_special(self, id: int) -> bool:
        return id in self._special

    def _spell(self, token: str) -> bytes:
        if token in self._added:
            return token.encode()
        if self._byte_level:
            codes = [_BYTE_OF.get(c, -1) for c in token]
            return token.encode() if -1 in codes else bytes(codes)
        single = _HEX_BYTE.fullmatch(token)
        return bytes([int(single[1], 16)]) if single else token.replace("▁", " ").encode()

    def _marker(self, *values: Any) -> str:
        """A string that nothing the user sent contains: private-use characters around random digits."""
        seen = msgspec.json.encode(values).decode()
        while True:
            marker = f"\ue000{secrets.randbelow(10**9)}\ue001"
            if marker not in seen:
                return marker

    def _guard(self, value: Any, marker: str) -> Any:
        if isinstance(value, str):
            broken = self._control.sub(lambda m: m[0][0] + marker + m[0][1:], value)
            before = marker if any(_begins_within(value, control) for control in self._added) else ""
            after = marker if any(_ends_within(value, control) for control in self._added) else ""
            return before + broken + after
        if isinstance(value, list):
            return [self._guard(item, marker) for item in value]
        if isinstance(value, dict):
            return {self._guard(key, marker): self._guard(item, marker) for key, item in value.items()}
        return value

    def _encode_rendered(self, prompt: str, marker: str) -> list[int]:
        ids: list[int] = []
        start, strip = 0, False
        for match in [*self._control.finditer(prompt), None]:
            piece = prompt[start : match.start() if match else len(prompt)].replace(marker, "")
            token = self._added[match[0]] if match else None
            if strip:
                piece = piece.lstrip()
            if token and token.lstrip:
                piece = piece.rstrip()
            if piece:
                plain = self._later if ids else self._first
                ids += plain.encode(piece, add_special_tokens=False).ids
            if token and match:
                ids.append(token.id)
                start, strip = match.end(), token.rstrip
        return ids


class TextDecoder:
    """Token ids of one answer to text, as they come. Special tokens give no text; a character that isn't complete
    waits for its last byte."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, ids: list[int]) -> str:
        text = self._text
        data = b"".join([text.token_bytes(i) for i in ids if not text.is_special(i)])
        return self._utf8.decode(data)

    def finish(self) -> str:
        """What an answer that ends within a character leaves: one replacement character."""
        return self._utf8.decode(b"", final=True)


def load_text(directory: Path) -> Text:
    """Raises InvalidModel."""
    file = directory / "tokenizer.json"
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidModel(f"{file} can't be read; export the model with its fast tokenizer") from error
    settings = directory / "tokenizer_config.json"
    return Text(data, load_template(directory, read_json(settings) if settings.is_file() else {}))


def _begins_within(value: str, control: str) -> bool:
    """Whether `value` begins as `control` ends, so that what stands before it might complete `control`."""
    return any(value.startswith(control[n:]) for n in range(1, len(control)))


def _ends_within(value: str, control: str) -> bool:
    return any(value.endswith(control[:n]) for n in range(1, len(control)))


def _without_added(raw: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The tokenizer with no control tokens; and as it works in the middle of a prompt, where that differs: one that
    puts a space before a text's very first word (prepend_scheme "first") doesn't do so there."""
    plain = {**raw, "added_tokens": []}
    before = raw.get("pre_tokenizer") or {}
    if before.get("type") == "Metaspace" and before.get("prepend_scheme") == "first":
        return plain, {**plain, "pre_tokenizer": {**before, "prepend_scheme": "never"}}
    return plain, None
