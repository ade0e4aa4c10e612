"""A model's answers to lm-eval, kept as they come: an interrupted evaluation asks again only what wasn't answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from .files import Appended, whole_lines

METHODS = ("loglikelihood", "loglikelihood_rolling", "generate_until")
"""What lm-eval asks a model; each takes a list of requests and returns a list of answers."""


class _Kept(msgspec.Struct):
    key: str
    answer: Any


class Answers:
    """`completed` of `total` requests are answered; the total grows as lm-eval comes to the next kind of request.
    What a task samples at random is asked anew every time."""

    def __init__(self, path: Path) -> None:
        self._file = Appended(path)
        self._known: dict[str, Any] = {}
        self.total = self.completed = 0
        for _, line in whole_lines(path):
            try:
                kept = msgspec.json.decode(line, type=_Kept)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # torn by a kill
            self._known[kept.key] = kept.answer

    def attach(self, lm: Any) -> None:
        """From here on `lm` answers through this, and reports to it each answer as it comes."""
        for name in METHODS:
            setattr(lm, name, partial(self._ask, name, getattr(lm, name)))
        lm.set_cache_hook(self)

    def add_partial(self, method: str, arguments: Any, answer: Any) -> None:
        """lm-eval's own hook, called for each answer; the parts of a longer request come without arguments."""
        if arguments is not None and not _drawn(method, arguments):
            self._keep(_key(method, arguments), answer)

    def sync(self) -> None:
        self._file.sync()

    def close(self) -> None:
        self._file.close()

    def _ask(self, name: str, method: Callable[..., list[Any]], requests: list[Any], **more: Any) -> list[Any]:
        keys = [None if _drawn(name, r.args) else _key(name, r.args) for r in requests]
        missing = [r for r, key in zip(requests, keys, strict=True) if key is None or key not in self._known]
        self.total += len(requests)
        self.completed += len(requests) - len(missing)
        before = self.completed
        fresh = iter(method(missing, **more) if missing else [])
        self.completed = before + len(missing)
        waiting = {id(request) for request in missing}
        found = []
        for request, key in zip(requests, keys, strict=True):
            answer = next(fresh) if id(request) in waiting else None
            if key is None:
                found.append(answer)
                continue
            if answer is not None and key not in self._known:
                self._write(key, answer)
            found.append(_as_given(self._known[key]))
        return found

    def _keep(self, key: str, answer: Any) -> None:
        if key not in self._known:
            self._write(key, answer)
            self.completed += 1

    def _write(self, key: str, answer: Any) -> None:
        self._known[key] = answer
        self._file.write(json.dumps({"key": key, "answer": answer}).encode())


def _drawn(method: str, arguments: Any) -> bool:
    return method == "generate_until" and bool(arguments[1].get("do_sample"))


def _key(method: str, arguments: Any) -> str:
    text = json.dumps([method, *arguments], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_given(answer: Any) -> Any:
    """A log-likelihood is a tuple; JSON knows lists only."""
    return tuple(answer) if isinstance(answer, list) else answer
