"""What the task routes tell a model: a versioned TOML file per task beside this module.

`user` is the turn that carries the text, `system` stands before it unless empty, `phrases` are the words that a
request's parameters choose. A name in braces is a place to fill in; braces around anything else are plain text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

Task = Literal["summarize", "answer", "classify", "translate", "extract", "rewrite", "assistant"]
TASKS: tuple[Task, ...] = get_args(Task)
PLACES: dict[Task, dict[str, bool]] = {
    "summarize": {"text": True, "length": False, "style": False},
    "answer": {"passages": True, "question": True, "unstated": False},
    "classify": {"text": True, "ask": False, "labels": False},
    "translate": {"text": True, "target": True, "from": False},
    "extract": {"text": True, "fields": True},
    "rewrite": {"text": True, "how": True},
    "assistant": {"turns": True, "question": True},
}
"""Per task the places that its `user` and `system` may have, and whether `user` must."""
TOLD: dict[Task, tuple[tuple[str, ...], ...]] = {
    "summarize": (("length",), ("style",)),
    "classify": (("ask", "labels"),),
    "translate": (("from",),),
}
"""Per task the places for what a request says beside its text: `user` or `system` must have one of each."""
_PLACE = re.compile(r"\{([a-z_]+)\}")


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`version` is the file's own, which grows when its words change."""

    user: str
    version: int = 1
    system: str = ""
    phrases: dict[str, str] = {}

    def phrase(self, name: str, **values: str) -> str:
        return filled(self.phrases[name], values)


class Misfit(Exception):
    """A prompt that can't be used; `key` is where the fault is."""

    def __init__(self, message: str, *key: str) -> None:
        super().__init__(message)
        self.key = key


def filled(template: str, values: Mapping[str, str]) -> str:
    """`template` with its places filled in, in one pass: braces in a value stay what they are."""
    return _PLACE.sub(lambda match: values.get(match[1], match[0]), template)


@cache
def shipped(task: Task) -> Prompt:
    """The prompt of this package."""
    import tomllib

    text = (Path(__file__).parent / f"{task}.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), Prompt)


def overridden(task: Task, told: Mapping[str, Any]) -> Prompt:
    """The shipped prompt with what `told` (`user`, `system`, `phrases`, `version`) puts in its place. Raises Misfit,
    too where a parameter of a request would have no place."""
    base = shipped(task)
    phrases: Mapping[str, str] = told.get("phrases", {})
    for name in phrases:
        if name not in base.phrases:
            known = ", ".join(base.phrases) or "none"
            near = _near(name, base.phrases)
            raise Misfit(f"{task} has no phrase {name!r}{near} (known: {known})", "phrases", name)
    for key in ("user", "system"):
        _check_places(task, key, told.get(key))
    for name, text in phrases.items():
        known_here, found = _PLACE.findall(base.phrases[name]), _PLACE.findall(text)
        for place in found:
            if place not in known_here:
                raise Misfit(f"there is nothing for {{{place}}} here", "phrases", name)
        if missing := [place for place in known_here if place not in found]:
            raise _ignoring(missing[:1], "phrases", name)
    prompt = msgspec.structs.replace(base, **{**told, "phrases": {**base.phrases, **phrases}})
    there = _PLACE.findall(f"{prompt.system}\n{prompt.user}")
    for places in TOLD.get(task, ()):
        if not any(place in there for place in places):
            raise _ignoring(places, "user")
    return prompt


def _ignoring(places: Sequence[str], *key: str) -> Misfit:
    which = " or ".join(f"{{{place}}}" for place in places)
    return Misfit(f"{which} is missing: what a request says there would be ignored", *key)


def _check_places(task: Task, key: str, text: str | None) -> None:
    if text is None:
        return
    places = PLACES[task]
    found = _PLACE.findall(text)
    for place in found:
        if place not in places:
            known = ", ".join(f"{{{name}}}" for name in places)
            raise Misfit(f"there is nothing for {{{place}}}{_near(place, places)} (known: {known})", key)
    missing = [name for name, needed in places.items() if needed and name not in found]
    if key == "user" and missing:
        raise Misfit(f"{{{missing[0]}}} is missing: the model would never see it", key)


def _near(name: str, known: Mapping[str, Any]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.0)
    return f"; did you mean {near[0]!r}?" if near else ""
