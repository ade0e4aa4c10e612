"""Sentences in French: elision, contraction, agreement, the place of adjectives and of the negation."""

from __future__ import annotations

from .lexicon import Adjective
from .sentence import (
    HE,
    THEY,
    Action,
    AskingWhere,
    AskingWho,
    Being,
    Both,
    Comparing,
    Existing,
    Liking,
    Name,
    NounPhrase,
    Pronoun,
    Sentence,
    Standing,
    Who,
    feminine,
    finish,
    person,
)

_VOWELS = "aeiouhâàéèêîôûœ"
_PRONOUNS = {"I": "je", "he": "il", "she": "elle", "we": "nous", "they": "ils"}
_POSSESSIVES = {
    "my": ("mon", "ma", "mes"),
    "his": ("son", "sa", "ses"),
    "her": ("son", "sa", "ses"),
    "our": ("notre", "notre", "nos"),
    "their": ("leur", "leur", "leurs"),
}
_ETRE = (("suis", "est", "sommes", "sont"), ("étais", "était", "étions", "étaient"))
_AVOIR = ("ai", "a", "avons", "ont")
_FUTURE = ("ai", "a", "ons", "ont")


def _join(first: str, second: str) -> str:
    """`first` before `second`, its e elided before a vowel: ne, de, je. The H of a name keeps it."""
    return f"{first[:-1]}'{second}" if second[0] in _VOWELS + "AEIOU" else f"{first} {second}"


def _agree(adjective: Adjective, female: bool, many: bool, vowel: bool = False) -> str:
    m, f, plural, before_vowel = adjective.fr
    if female and not m == f == plural:
        return f + ("s" if many else "")
    return plural if many else before_vowel if vowel else m


def _core(said: NounPhrase) -> tuple[str, bool]:
    """The noun with its adjective, and whether it begins with a vowel sound."""
    form = said.noun.fr
    noun = form.many if said.many else form.one
    noun_vowel = noun[0] in _VOWELS and not form.special
    if said.adjective is None:
        return noun, noun_vowel
    adjective = _agree(said.adjective, form.gender == "f", said.many, noun_vowel)
    if said.adjective.before:
        return f"{adjective} {noun}", adjective[0] in _VOWELS
    return f"{noun} {adjective}", noun_vowel


def _the(said: NounPhrase, vowel: bool, before: str = "") -> str:
    """The article with a space or an apostrophe after it; contracted with `before`, à or de."""
    if said.many:
        return {"": "les ", "à": "aux ", "de": "des "}[before]
    if vowel:
        return f"{before} l'".lstrip()
    if said.noun.fr.gender == "f":
        return f"{before} la ".lstrip()
    return {"": "le ", "à": "au ", "de": "du "}[before]


def phrase(who: Who, before: str = "", *, negative: bool = False) -> str:
    """`who`, after the preposition `before`; as the object of a negated verb, `some` and `a` are `de`."""
    if isinstance(who, Both):
        return f"{phrase(who.first)} et {phrase(who.second)}"
    if not isinstance(who, NounPhrase):
        text = _PRONOUNS[who.text] if isinstance(who, Pronoun) else who.text
        return _join("de", text) if before == "de" else f"{before} {text}".lstrip()
    core, vowel = _core(who)
    if who.number and who.determiner == "some":
        words = f"{who.number.fr} {core}"
    elif who.determiner in ("some", "a") and negative:
        return f"d'{core}" if vowel else f"de {core}"
    elif who.determiner == "some":
        if who.many and who.adjective and who.adjective.before:
            return f"d'{core}" if vowel else f"de {core}"
        return _the(who, vowel, "de") + core
    elif who.determiner in ("the", "all"):
        if who.number:
            return f"{_the(who, False, before)}{who.number.fr} {core}"
        return _the(who, vowel, before) + core
    else:
        number = f"{who.number.fr} " if who.number else ""
        words = f"{_determiner(who, vowel)} {number}{core}"
    return _join("de", words) if before == "de" else f"{before} {words}".lstrip()


def _determiner(who: NounPhrase, vowel: bool) -> str:
    female = who.noun.fr.gender == "f"
    if who.determiner == "a":
        return "une" if female else "un"
    if who.determiner == "this":
        return "ces" if who.many else "cette" if female else "cet" if vowel else "ce"
    m, f, plural = _POSSESSIVES[who.determiner]
    return plural if who.many else f if female and not vowel else m


def _place(preposition: str, where: NounPhrase) -> str:
    head, _, de = preposition.rpartition(" ")
    return f"{head} {phrase(where, 'de')}" if de == "de" else f"{preposition} {phrase(where)}"


def _deny(verb: str, word: str) -> str:
    return f"{_join('ne', verb)} {word}" if word else verb


def _verb(said: Action) -> str:
    """The finite verb, what belongs inside it (pas, souvent), and what follows."""
    who, verb = person(said.subject), said.verb.fr
    word = "pas" if said.negative else ""
    inside = said.frequency.fr if said.frequency else ""
    if inside == "jamais":
        word, inside = "jamais", ""
    if said.modal:
        return f"{_deny(said.modal.fr[1 + who], word)} {verb[0]}"
    if said.tense == "future":
        return f"{_deny(verb[6] + _FUTURE[who], word)} {inside}"
    if said.tense == "present":
        return f"{_deny(verb[1 + who], word)} {inside}"
    if "être" not in said.verb.marks:
        return f"{_deny(_AVOIR[who], word)} {inside} {verb[5]}"
    ending = ("e" if feminine(said.subject, "fr") else "") + ("s" if who == THEY else "")
    return f"{_deny(_ETRE[0][who], word)} {inside} {verb[5]}{ending}"


def _clause(subject: Who, verb: str) -> str:
    verb = " ".join(verb.split())
    who = phrase(subject)
    return _join(who, verb) if who == "je" else f"{who} {verb}"


def _where(said: Action) -> str:
    if said.where is None:
        return ""
    if said.way == "in":
        return f"à {said.where.text}" if isinstance(said.where, Name) else _place("dans", said.where)
    if said.way == "on":
        return f"sur {phrase(said.where)}"
    return phrase(said.where, "à" if said.way == "to" else "de")


def _action(said: Action) -> str:
    parts = [_clause(said.subject, _verb(said))]
    if said.thing:
        parts.append(phrase(said.thing, negative=said.negative))
    if said.recipient:
        parts.append(phrase(said.recipient, "à"))
    parts.append(_where(said))
    if said.when:
        parts = [f"{said.when.fr},", *parts] if said.fronted else [*parts, said.when.fr]
    return finish(" ".join(parts))


def render(said: Sentence) -> str:
    match said:
        case Action():
            return _action(said)
        case Being(subject, adjective, past, negative):
            verb = _deny(_ETRE[past][person(subject)], "pas" if negative else "")
            agreed = _agree(adjective, feminine(subject, "fr"), person(subject) == THEY)
            return finish(f"{_clause(subject, verb)} {agreed}")
        case Standing(subject, preposition, where, past):
            return finish(f"{_clause(subject, _ETRE[past][person(subject)])} {_place(preposition.fr, where)}")
        case Existing(thing, preposition, where):
            return finish(f"il y a {phrase(thing)} {_place(preposition.fr, where)}")
        case Liking(subject, thing, negative):
            verb = ("aime", "aime", "aimons", "aiment")[person(subject)]
            return finish(f"{_clause(subject, _deny(verb, 'pas' if negative else ''))} {phrase(thing)}")
        case Comparing(subject, adjective, other):
            agreed = _agree(adjective, feminine(subject, "fr"), person(subject) == THEY)
            verb = _ETRE[False][person(subject)]
            return finish(f"{_clause(subject, verb)} plus {agreed} que {phrase(other)}")
        case AskingWhere(subject):
            return finish(f"où {_ETRE[False][person(subject)]} {phrase(subject)}", " ?")
        case AskingWho(verb, tense, thing):
            finite = verb.fr[1 + HE] if tense == "present" else f"a {verb.fr[5]}"
            return finish(f"qui {finite} {phrase(thing)}", " ?")
