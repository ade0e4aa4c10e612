"""Sentences in German: cases, the endings of articles and adjectives, the second place of the verb."""

from __future__ import annotations

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
    finish,
    person,
)

NOMINATIVE, ACCUSATIVE, DATIVE = range(3)
_DER = {
    "m": ("der", "den", "dem"),
    "f": ("die", "die", "der"),
    "n": ("das", "das", "dem"),
    "pl": ("die", "die", "den"),
}
_DIES = {"m": ("er", "en", "em"), "f": ("e", "e", "er"), "n": ("es", "es", "em"), "pl": ("e", "e", "en")}
_EIN = {"m": ("", "en", "em"), "f": ("e", "e", "er"), "n": ("", "", "em"), "pl": ("e", "e", "en")}
_WEAK = {"m": ("e", "en", "en"), "f": ("e", "e", "en"), "n": ("e", "e", "en"), "pl": ("en", "en", "en")}
_MIXED = {"m": ("er", "en", "en"), "f": ("e", "e", "en"), "n": ("es", "es", "en"), "pl": ("en", "en", "en")}
_STRONG = _DIES
_PRONOUNS = {"I": "ich", "he": "er", "she": "sie", "we": "wir", "they": "sie"}
_POSSESSIVES = {"my": "mein", "his": "sein", "her": "ihr", "our": "unser", "their": "ihr"}
_SEIN = (("bin", "ist", "sind", "sind"), ("war", "war", "waren", "waren"))
_WERDEN = ("werde", "wird", "werden", "werden")
_CONTRACTED = {"in dem": "im", "zu dem": "zum", "zu der": "zur", "von dem": "vom"}


def phrase(who: Who, case: int = NOMINATIVE, *, negative: bool = False) -> str:
    """`who` in `case`; as the object of a negated verb, `some` and `a` are `kein`."""
    if isinstance(who, Both):
        return f"{phrase(who.first, case)} und {phrase(who.second, case)}"
    if not isinstance(who, NounPhrase):
        return _PRONOUNS[who.text] if isinstance(who, Pronoun) else who.text
    form = who.noun.de
    gender = "pl" if who.many else form.gender
    noun = form.many if who.many else form.one if case == NOMINATIVE else form.oblique
    if who.many and case == DATIVE and not noun.endswith(("n", "s")):
        noun += "n"
    number = who.number.de if who.number else ""
    match who.determiner:
        case "the":
            determiner, endings = _DER[gender][case], _WEAK
        case "this":
            determiner, endings = "dies" + _DIES[gender][case], _WEAK
        case "some" | "all" | "a" if negative:
            determiner, endings = "kein" + _EIN[gender][case], _MIXED
        case "some" | "all":
            determiner, endings = "", _STRONG
        case "a":
            determiner, endings = "ein" + _EIN[gender][case], _MIXED
        case owner:
            determiner, endings = _POSSESSIVES[owner] + _EIN[gender][case], _MIXED
    adjective = who.adjective.de_stem + endings[gender][case] if who.adjective else ""
    return " ".join(word for word in (determiner, number, adjective, noun) if word)


def _after(preposition: str, where: NounPhrase | Name) -> str:
    """`where` in the dative after `preposition`, contracted with the definite article."""
    words = f"{preposition} {phrase(where, DATIVE)}"
    if isinstance(where, NounPhrase) and where.determiner == "the" and not where.many:
        first, second, rest = words.split(" ", 2)
        short = _CONTRACTED.get(f"{first} {second}")
        return f"{short} {rest}" if short else words
    return words


def _where(said: Action) -> str:
    if said.where is None:
        return ""
    named = isinstance(said.where, Name)
    preposition = {
        "in": "in",
        "on": "auf",
        "to": "nach" if named else "zu",
        "from": "aus" if named else "von",
    }[said.way]
    return _after(preposition, said.where)


def _present(forms: tuple[str, ...], who: int) -> str:
    return forms[1] if who == ME else forms[2] if who == HE else forms[0]


def _verb(said: Action) -> tuple[str, str]:
    """The finite verb, and the infinitive that closes the sentence."""
    who, forms = person(said.subject), said.verb.de
    if said.modal:
        return _present(said.modal.de, who), forms[0]
    if said.tense == "future":
        return _WERDEN[who], forms[0]
    if said.tense == "past":
        return forms[4] if who in (WE, THEY) else forms[3], ""
    return _present(forms, who), ""


def _action(said: Action) -> str:
    finite, infinitive = _verb(said)
    object_case = DATIVE if "dative" in said.verb.marks else ACCUSATIVE
    thing = phrase(said.thing, object_case, negative=said.negative) if said.thing else ""
    recipient = phrase(said.recipient, DATIVE) if said.recipient else ""
    where = _where(said)
    when = said.when.de if said.when else ""
    frequency = said.frequency.de if said.frequency else ""
    no = "nicht" if said.negative and not (said.thing and _kein(said.thing)) else ""
    after_object, before_place = (no, "") if said.thing else ("", no)
    middle = [recipient, "" if said.fronted else when, frequency, thing, after_object, before_place, where]
    start = [when, finite, phrase(said.subject)] if said.fronted else [phrase(said.subject), finite]
    return finish(" ".join([*start, *middle, infinitive]))


def _kein(thing: NounPhrase | Name) -> bool:
    return isinstance(thing, NounPhrase) and thing.determiner in ("a", "some")


def render(said: Sentence) -> str:
    match said:
        case Action():
            return _action(said)
        case Being(subject, adjective, past, negative):
            verb = _SEIN[past][person(subject)] + (" nicht" if negative else "")
            return finish(f"{phrase(subject)} {verb} {adjective.de}")
        case Standing(subject, preposition, where, past):
            return finish(f"{phrase(subject)} {_SEIN[past][person(subject)]} {_after(preposition.de, where)}")
        case Existing(thing, preposition, where):
            return finish(f"{_after(preposition.de, where)} {_SEIN[False][person(thing)]} {phrase(thing)}")
        case Liking(subject, thing, negative):
            verb = "mag" if person(subject) in (ME, HE) else "mögen"
            return finish(f"{phrase(subject)} {verb} {phrase(thing, ACCUSATIVE, negative=negative)}")
        case Comparing(subject, adjective, other):
            return finish(
                f"{phrase(subject)} {_SEIN[False][person(subject)]} {adjective.de_more} als {phrase(other)}"
            )
        case AskingWhere(subject):
            return finish(f"wo {_SEIN[False][person(subject)]} {phrase(subject)}", "?")
        case AskingWho(verb, tense, thing):
            finite = verb.de[2] if tense == "present" else verb.de[3]
            case = DATIVE if "dative" in verb.marks else ACCUSATIVE
            return finish(f"wer {finite} {phrase(thing, case)}", "?")
