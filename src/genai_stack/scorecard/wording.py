"""What a text says, word by word: whether it keeps given facts, and whether it has any that its source doesn't.

Words are compared by their forms ("opens", "opened" and "opening" are one), names and numbers as they are written. What
this can't see is a fact told of the wrong one: "Ada pays Ben" has every word of "Ben pays Ada".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

FUNCTION_WORDS = frozenset(
    """
    a an the this that these those
    i you he she it we they me him her us them my your his its our their who whom whose which what
    and or but so as than because while when where if then also both
    of in on at to from by with for about into onto over under after before between during until since near through
    am is are was were be been being has have had having do does did will would can could may there
    """.split()
)
"""Words that say nothing by themselves, which a summary may use freely. No negation is among them, no quantity and no
verb but the auxiliaries: "not", "all" and "every" must stand in the source like any other word."""
NAMES = ("Will", "May")
"""Names that are function words when they are small: a summary, which asks nothing, begins with one as a name."""

IRREGULAR = {
    form: base
    for base, forms in {
        "agree": "agreed agreeing",
        "be": "am is are was were been being",
        "bear": "bore born borne",
        "become": "became",
        "begin": "began begun",
        "break": "broke broken",
        "bring": "brought",
        "build": "built",
        "buy": "bought",
        "catch": "caught",
        "choose": "chose chosen",
        "come": "came",
        "drive": "drove driven",
        "die": "dies died dying",
        "eat": "ate eaten",
        "fall": "fell fallen",
        "feed": "fed",
        "find": "found",
        "fly": "flew flown",
        "get": "got gotten",
        "give": "gave given",
        "go": "goes went gone",
        "grow": "grew grown",
        "have": "has had",
        "hear": "heard",
        "hold": "held",
        "keep": "kept",
        "know": "knew known",
        "lay": "laid",
        "lead": "led",
        "leave": "left",
        "lend": "lent",
        "lie": "lies lied lying",
        "lose": "lost",
        "make": "made",
        "meet": "met",
        "pay": "paid",
        "ride": "rode ridden",
        "rise": "rose risen",
        "run": "ran",
        "say": "said",
        "see": "saw seen",
        "sell": "sold",
        "send": "sent",
        "show": "shown",
        "sing": "sang sung",
        "sleep": "slept",
        "speak": "spoke spoken",
        "spend": "spent",
        "stand": "stood",
        "swim": "swam swum",
        "take": "took taken",
        "teach": "taught",
        "tell": "told",
        "tie": "ties tied tying",
        "think": "thought",
        "win": "won",
        "write": "wrote written",
        "child": "children",
        "foot": "feet",
        "goose": "geese",
        "man": "men",
        "mouse": "mice",
        "person": "people",
        "sheep": "sheep",
        "woman": "women",
        "wolf": "wolves",
    }.items()
    for form in forms.split()
}
"""Forms that no rule leads to their base."""

_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_OWNER = re.compile(r"['’][sS]$")
_SENTENCE_END = re.compile(r"[.!?]\s*$|:\s*$|\n\s*$")


def words(text: str) -> list[str]:
    """The words and numbers of `text` as written; "14:30", "1,250", "well-known" and "Ada's" are one each."""
    return _WORD.findall(text)


def kept(fact: str, text: str) -> bool:
    """Whether the words of `fact` stand in `text`, next to each other and in order; case is ignored."""
    wanted, told = _plain(fact), _plain(text)
    return any(told[at : at + len(wanted)] == wanted for at in range(len(told) - len(wanted) + 1))


def invented(text: str, source: str, retold: str = "") -> list[str]:
    """The words of `text` that nothing stands behind, in order: a number or a name (a capital that begins no sentence)
    that isn't written in `source`, and another word that is no function word and none of whose forms is in `source`, or
    in `retold`, a true telling of it in other words."""
    known = {_owned(word) for word in words(source)}
    forms = {form(word) for word in (*known, *words(retold))}
    return [
        word
        for word, name in _told(text)
        if _owned(word) not in known
        and (name or word[0].isdigit() or (form(word) not in forms and word.lower() not in FUNCTION_WORDS))
    ]


def form(word: str) -> str:
    """What the forms of an English word have in common: "stopped", "stops" and "stop" give one, which need not be a
    word itself."""
    base = _owned(word).lower()
    base = IRREGULAR.get(base, base)
    if not base.endswith(("ss", "us", "is", "eed")):
        for ending, instead in (("ies", "y"), ("ied", "y"), ("ing", "e"), ("ed", "e"), ("es", "e"), ("s", "")):
            stem = base.removesuffix(ending)
            if stem != base and (instead == "y" or any(letter in "aeiouy" for letter in stem)):
                base = stem + instead
                break
    if len(base) > 3:
        base = base.removesuffix("e")
    doubled = len(base) > 3 and base[-1] == base[-2] and base[-1] not in "aeiou"
    return base[:-1] if doubled else base


def _plain(text: str) -> list[str]:
    return [_owned(word).lower() for word in words(text)]


def _owned(word: str) -> str:
    """`word` without the ending of who owns it."""
    return _OWNER.sub("", word)


def _told(text: str) -> Iterator[tuple[str, bool]]:
    """Each word, and whether it is written as a name."""
    for found in _WORD.finditer(text):
        before = text[: found.start()].rstrip(" \"'“‘(*-•")
        first = not before or _SENTENCE_END.search(before) is not None
        yield found[0], found[0][0].isupper() and (not first or found[0] in NAMES)
