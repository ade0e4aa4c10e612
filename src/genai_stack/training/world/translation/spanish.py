"""Sentences in Spanish: agreement, contraction, the personal `a`, ser and estar, gustar."""

from __future__ import annotations

from .lexicon import Adjective, Verb
from .sentence import (
    HE,
    ME,
    THEY,
    WE,
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

_PRONOUNS = {"I": "", "he": "él", "she": "ella", "we": "", "they": "ellos"}
_SER = (("soy", "es", "somos", "son"), ("era", "era", "éramos", "eran"))
_ESTAR = (("estoy", "está", "estamos", "están"), ("estaba", "estaba", "estábamos", "estaban"))
_FUTURE = ("é", "á", "emos", "án")
_ALIVE = {"person", "animal"}


def _agree(adjective: Adjective, female: bool, many: bool) -> str:
    form = adjective.es[many]
    if not female:
        return form
    return (
        form.removesuffix("os") + "as"
        if form.endswith("os")
        else form[:-1] + "a"
        if form.endswith("o")
        else form
    )


def phrase(who: Who, before: str = "", *, bare: bool = False) -> str:
    """`who`, after the preposition `before` (a and de contract with el); `bare` leaves out un and una."""
    if isinstance(who, Both):
        return f"{phrase(who.first)} y {phrase(who.second)}"
    if not isinstance(who, NounPhrase):
        text = _PRONOUNS[who.text] if isinstance(who, Pronoun) else who.text
        return f"{before} {text}".strip()
    form = who.noun.es
    words = [who.number.es] if who.number else []
    words.append(form.many if who.many else form.one)
    if who.adjective:
        words.append(_agree(who.adjective, form.gender == "f", who.many))
    determiner = "" if bare and who.determiner == "a" else _determiner(who)
    text = " ".join(word for word in (before, determiner, *words) if word)
    if before.split(" ")[-1] in ("a", "de") and determiner == "el":
        return text.replace("a el ", "al ", 1) if before.endswith("a") else text.replace("de el ", "del ", 1)
    return text


def _determiner(who: NounPhrase) -> str:
    female, s = who.noun.es.gender == "f", "s" if who.many else ""
    masculine_article = not female or (who.noun.es.special and not who.many)
    match who.determiner:
        case "some":
            return ""
        case "the" | "all":
            if who.many:
                return "las" if female else "los"
            return "el" if masculine_article else "la"
        case "a":
            return "un" if masculine_article else "una"
        case "this":
            return ("esta" if female else "esto" if who.many else "este") + s
        case "my":
            return "mi" + s
        case "our":
            return ("nuestra" if female else "nuestro") + s
    return "su" + s


def _finite(verb: Verb, who: int, tense: str) -> str:
    if tense == "future":
        return verb.es[9] + _FUTURE[who]
    return verb.es[(1 if tense == "present" else 5) + who]


def _object(verb: Verb, thing: NounPhrase | Name, *, bare: bool = False) -> str:
    if isinstance(thing, Name):
        return thing.text if not verb.marks & {"a"} else f"a {thing.text}"
    personal = "a" in verb.marks and not thing.noun.kinds.isdisjoint(_ALIVE)
    return phrase(thing, "a" if personal else "", bare=bare)


def _where(said: Action) -> str:
    if said.where is None:
        return ""
    return phrase(said.where, {"in": "en", "on": "en", "to": "a", "from": "de"}[said.way])


def _action(said: Action) -> str:
    who = person(said.subject)
    if said.modal:
        verb = f"{_finite(said.modal, who, 'present')} {said.verb.es[0]}"
    else:
        verb = _finite(said.verb, who, said.tense)
    clitic = ""
    if said.recipient:
        clitic = "les" if person(said.recipient) == THEY else "le"
    parts = [
        phrase(said.subject),
        said.frequency.es if said.frequency else "",
        "no" if said.negative else "",
        clitic,
        verb,
    ]
    if said.thing:
        parts.append(_object(said.verb, said.thing, bare=said.negative))
    if said.recipient:
        parts.append(phrase(said.recipient, "a"))
    parts.append(_where(said))
    if said.when:
        parts = [f"{said.when.es},", *parts] if said.fronted else [*parts, said.when.es]
    return finish(" ".join(parts))


def _be(adjective: Adjective, who: int, past: bool) -> str:
    return (_ESTAR if adjective.estar else _SER)[past][who]


def _liking(said: Liking) -> str:
    who = person(said.subject)
    clitic = {ME: "me", HE: "le", WE: "nos", THEY: "les"}[who]
    liker = "" if who in (ME, WE) and isinstance(said.subject, Pronoun) else phrase(said.subject, "a")
    no = "no" if said.negative else ""
    return finish(f"{liker} {no} {clitic} {'gustan' if said.thing.many else 'gusta'} {phrase(said.thing)}")


def render(said: Sentence) -> str:
    match said:
        case Action():
            return _action(said)
        case Being(subject, adjective, past, negative):
            who = person(subject)
            agreed = _agree(adjective, feminine(subject, "es"), who == THEY)
            no = "no" if negative else ""
            return finish(f"{phrase(subject)} {no} {_be(adjective, who, past)} {agreed}")
        case Standing(subject, preposition, where, past):
            return finish(f"{phrase(subject)} {_ESTAR[past][person(subject)]} {phrase(where, preposition.es)}")
        case Existing(thing, preposition, where):
            return finish(f"hay {phrase(thing)} {phrase(where, preposition.es)}")
        case Liking():
            return _liking(said)
        case Comparing(subject, adjective, other):
            who = person(subject)
            agreed = _agree(adjective, feminine(subject, "es"), who == THEY)
            return finish(f"{phrase(subject)} {_be(adjective, who, False)} más {agreed} que {phrase(other)}")
        case AskingWhere(subject):
            return "¿" + finish(f"dónde {_ESTAR[False][person(subject)]} {phrase(subject)}", "?")
        case AskingWho(verb, tense, thing):
            return "¿" + finish(f"quién {_finite(verb, HE, tense)} {_object(verb, thing)}", "?")
