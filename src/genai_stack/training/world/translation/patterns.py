"""The patterns sentences are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from ..names import Draw
from .lexicon import (
    ADJECTIVES,
    DOING,
    FREQUENCIES,
    FUTURE_TIMES,
    GIVING,
    GOING,
    MODALS,
    NOUNS,
    NUMBERS,
    PAST_TIMES,
    PREPOSITIONS,
    PRESENT_TIMES,
    TIMES,
    TRANSITIVE,
    Adjective,
    Noun,
    Phrase,
    Verb,
    of_kinds,
)
from .sentence import (
    POSSESSIVES,
    PRONOUNS,
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
)

T = TypeVar("T")
_FITTING = {noun.en: tuple(a for a in ADJECTIVES if not noun.kinds.isdisjoint(a.kinds)) for noun in NOUNS}
_TRANSLATED = frozenset(
    "London Paris Rome Berlin Vienna Prague Lisbon Athens Cairo Delhi Tokyo Sydney Dublin Milan Geneva Warsaw "
    "Bogota Hanoi Seoul Helsinki".split()
)
"""Cities that have another name in one of the languages, or an H that French elides before as it likes."""
_WORDLIKE = frozenset("Sein Mein Dein Kein Nein Fein Rein Klein Main Den Man Sie Mis Sin Ton".split())
"""Made-up first names that are words."""
_LASTING = ("have", "love", "live")
"""Verbs that are not done at a time."""
_OWN = {"I": "my", "he": "his", "she": "her", "we": "our", "they": "their"}
_ONLY = ("mother", "father")
"""Nobody has two."""
_HOURS = tuple(
    Phrase(f"at {n.en} o'clock", f"à {n.fr} heures", f"um {n.de} Uhr", f"a las {n.es}") for n in NUMBERS[:10]
)
_WHERE = {
    "in": ("place",),
    "on": ("furniture", "surface"),
    "under": ("shelter",),
    "behind": ("place", "furniture", "landmark", "vehicle"),
    "in front of": ("place", "furniture", "landmark", "vehicle"),
    "next to": ("place", "furniture", "landmark", "vehicle"),
}
_OF_ANY_GENDER = (Pronoun("I"), Pronoun("we"))
_INSIDE = {"place": "in", "water_body": "in", "furniture": "on", "surface": "on"}


def _pick(draw: Draw, items: Sequence[T]) -> T:
    return items[int(draw.random.random() * len(items))]


def _adjective(draw: Draw, noun: Noun, share: float) -> Adjective | None:
    fitting = _FITTING[noun.en]
    return _pick(draw, fitting) if fitting and draw.chance(share) else None


def _noun(draw: Draw, kinds: Sequence[str]) -> Noun:
    """Half the time any of the nouns, half the time any of the kinds first: small kinds and large ones come up."""
    return _pick(draw, of_kinds(*kinds) if draw.chance(0.5) else of_kinds(_pick(draw, kinds)))


def _ownable(noun: Noun) -> bool:
    """Whether a possessive fits: a brother, a dog, a lamp; no wolf, no river, and no man, who would be a husband."""
    if noun.kinds & {"person", "animal"}:
        return bool(noun.kinds & {"known", "pet"})
    return not noun.kinds & {"surface", "landmark", "water"}


def _phrase(draw: Draw, noun: Noun, owner: str = "", *, adjective: float = 0.35) -> NounPhrase:
    """`noun` with any determiner: `owner`'s possessive, or anyone's where there is no owner."""
    chosen = _adjective(draw, noun, adjective)
    if noun.mass:
        return NounPhrase(noun, "the" if draw.chance(0.3) else "some", False, chosen)
    at = draw.random.random()
    if at < 0.32:
        return NounPhrase(noun, "the", draw.chance(0.35), chosen)
    if at < 0.58:
        return NounPhrase(noun, "a", False, chosen)
    if at < 0.70:
        return NounPhrase(noun, "some", True, chosen)
    if at < 0.80:
        return NounPhrase(noun, "some", True, chosen, _pick(draw, NUMBERS))
    if at < 0.88:
        return NounPhrase(noun, "this", draw.chance(0.4), chosen)
    determiner = owner or _pick(draw, POSSESSIVES)
    return NounPhrase(noun, determiner if _ownable(noun) else "the", draw.chance(0.3), chosen)


def _definite(draw: Draw, noun: Noun, *, adjective: float = 0.0, many: float = 0.25) -> NounPhrase:
    determiner = "the" if draw.chance(0.75) else "this" if draw.chance(0.4) else _pick(draw, POSSESSIVES)
    if determiner in POSSESSIVES and not _ownable(noun):
        determiner = "the"
    if noun.en in _ONLY and determiner in POSSESSIVES:
        many = 0.0
    return NounPhrase(noun, determiner, not noun.mass and draw.chance(many), _adjective(draw, noun, adjective))


def _place(draw: Draw, noun: Noun, *, many: float = 0.0) -> NounPhrase:
    if draw.chance(many):
        return NounPhrase(noun, "the" if draw.chance(0.7) else "this", True)
    determiner = "the" if draw.chance(0.8) else "a" if draw.chance(0.6) else "this"
    return NounPhrase(noun, determiner, False, _adjective(draw, noun, 0.2))


def _subject(draw: Draw, kinds: Sequence[str], *, names: bool = True, both: bool = True) -> Who:
    kind = "animal" if "animal" in kinds and draw.chance(0.5 if "person" in kinds else 1.0) else "person"
    noun = _noun(draw, (kind,))
    at = draw.random.random()
    if kind == "person" and at < 0.25:
        return Pronoun(_pick(draw, PRONOUNS))
    if kind == "person" and at < 0.38 and names:
        return _first_name(draw)
    if at < 0.48 and both:
        other = _noun(draw, (kind,))
        if other is not noun:
            return Both(NounPhrase(noun), NounPhrase(other))
    if at < 0.55:
        return NounPhrase(noun, "a", False, _adjective(draw, noun, 0.3))
    return _definite(draw, noun, adjective=0.25)


def _owner(subject: Who) -> str:
    """The possessive that points back to the subject."""
    if isinstance(subject, Pronoun):
        return _OWN[subject.text]
    if isinstance(subject, NounPhrase) and "person" in subject.noun.kinds:
        return "their" if subject.many else "her" if subject.noun.fr.gender == "f" else "his"
    return "their" if isinstance(subject, Both) else "the"


def _time(draw: Draw, tense: str) -> Phrase:
    own = {"present": PRESENT_TIMES, "past": PAST_TIMES, "future": FUTURE_TIMES}[tense]
    at = draw.random.random()
    return _pick(draw, own if at < 0.22 else _HOURS if at < 0.4 else TIMES)


def _fronted(draw: Draw, when: Phrase | None) -> bool:
    return when is not None and draw.chance(0.5)


def _tense(draw: Draw, verb: Verb) -> str:
    at = draw.random.random()
    tense = "present" if at < 0.5 else "past" if at < 0.8 else "future"
    return "present" if tense == "past" and not verb.en_past else tense


def _other(draw: Draw, kinds: Sequence[str], subject: Who) -> Noun:
    """A noun that is not the subject's."""
    while True:
        noun = _noun(draw, kinds)
        if not (isinstance(subject, NounPhrase) and subject.noun is noun):
            return noun


def _thing(draw: Draw, verb: Verb, subject: Who) -> NounPhrase | Name:
    noun = _other(draw, verb.things, subject)
    if verb.en == "visit" and draw.chance(0.2):
        return _city(draw)
    if "person" in noun.kinds:
        if draw.chance(0.2):
            return _first_name(draw)
        owner = _owner(subject)
        return NounPhrase(
            noun,
            owner if draw.chance(0.35) and _ownable(noun) else "the",
            draw.chance(0.3),
            _adjective(draw, noun, 0.25),
        )
    phrase = _phrase(draw, noun, _owner(subject))
    if "a" in verb.marks and "animal" in noun.kinds and phrase.determiner == "some" and not phrase.number:
        return replace(phrase, determiner="the")
    return phrase


def _first_name(draw: Draw) -> Name:
    while True:
        name = draw.first_name()
        if name not in _WORDLIKE:
            return Name(name)


def _city(draw: Draw) -> Name:
    while True:
        place = draw.place()
        if place not in _TRANSLATED:
            return Name(place)


def acting(draw: Draw) -> Sentence:
    """The boy buys an old lamp. On Monday, she will repair her car. They do not eat meat."""
    verb = _pick(draw, TRANSITIVE)
    subject = _subject(draw, verb.doers)
    thing = _thing(draw, verb, subject)
    at = draw.random.random()
    tense = _tense(draw, verb)
    if at < 0.2 and verb.en != "lose":
        return Action(subject, verb, modal=_pick(draw, MODALS), thing=thing)
    if at < 0.4:
        if isinstance(thing, NounPhrase) and (thing.number or (thing.determiner == "a" and verb.en != "have")):
            thing = replace(thing, determiner="the", number=None)
        return Action(subject, verb, tense, thing=thing, negative=True)
    if at < 0.78 and verb.en not in _LASTING:
        return Action(subject, verb, tense, thing=thing, when=_time(draw, tense), fronted=draw.chance(0.5))
    return Action(subject, verb, tense, thing=thing)


def giving(draw: Draw) -> Sentence:
    """The teacher gives the book to the girls."""
    verb = _pick(draw, GIVING)
    subject = _subject(draw, verb.doers, both=False)
    thing = _phrase(draw, _noun(draw, verb.things), _owner(subject), adjective=0.25)
    person = _other(draw, ("person",), subject)
    own = _owner(subject) if draw.chance(0.3) and _ownable(person) else "the"
    many = draw.chance(0.3) and (own == "the" or person.en not in _ONLY)
    recipient = _first_name(draw) if draw.chance(0.2) else NounPhrase(person, own, many)
    tense = _tense(draw, verb)
    when = _time(draw, tense) if draw.chance(0.45) else None
    return Action(
        subject, verb, tense, thing=thing, recipient=recipient, when=when, fronted=_fronted(draw, when)
    )


def doing(draw: Draw) -> Sentence:
    """The cat often sleeps in the garden. Anna works in Oslo."""
    verb = _pick(draw, DOING)
    subject = _subject(draw, verb.doers)
    kind = _pick(draw, verb.things)
    where: NounPhrase | Name = _place(draw, _noun(draw, (kind,)))
    if verb.en in ("live", "work") and draw.chance(0.4):
        where = _city(draw)
    way = _INSIDE.get(kind, "in")
    at = draw.random.random()
    tense = _tense(draw, verb)
    if at < 0.25:
        return Action(subject, verb, way=way, where=where, frequency=_pick(draw, FREQUENCIES))
    if at < 0.45:
        return Action(subject, verb, way=way, where=where, modal=_pick(draw, MODALS))
    if at < 0.6:
        return Action(subject, verb, tense, way=way, where=where, negative=True)
    when = _time(draw, tense) if draw.chance(0.6) and verb.en not in _LASTING else None
    return Action(subject, verb, tense, way=way, where=where, when=when, fronted=_fronted(draw, when))


def going(draw: Draw) -> Sentence:
    """She went to the station. He comes from Oslo."""
    verb = _pick(draw, GOING)
    subject = _subject(draw, verb.doers)
    tense = _tense(draw, verb)
    if tense == "past" and (isinstance(subject, Name) or subject in _OF_ANY_GENDER):
        tense = "present"
    way = "to" if verb.en == "go" else "from"
    where: NounPhrase | Name = (
        _city(draw) if draw.chance(0.25) else _definite(draw, _noun(draw, ("place",)), adjective=0.2, many=0.0)
    )
    when = _time(draw, tense) if draw.chance(0.6) else None
    negative = when is None and draw.chance(0.3)
    return Action(
        subject, verb, tense, way=way, where=where, when=when, fronted=_fronted(draw, when), negative=negative
    )


def being(draw: Draw) -> Sentence:
    """The shoes are not expensive. She was tired."""
    adjective = _pick(draw, ADJECTIVES)
    kind = _pick(draw, adjective.kinds)
    noun = _noun(draw, (kind,))
    past, negative = draw.chance(0.3), draw.chance(0.25)
    at = draw.random.random()
    if kind in ("person", "child", "adult") and at < 0.4:
        return Being(Pronoun(_pick(draw, ("he", "she", "they"))), adjective, past, negative)
    if at < 0.5 and not noun.mass:
        other = _noun(draw, (kind,))
        if other is not noun and not other.mass:
            return Being(Both(NounPhrase(noun), NounPhrase(other)), adjective, past, negative)
    return Being(_definite(draw, noun, many=0.35), adjective, past, negative)


def standing(draw: Draw) -> Sentence:
    """The lamp is behind the sofa."""
    preposition = _pick(draw, PREPOSITIONS)
    thing = _noun(draw, ("object", "animal", "clothing", "fruit", "food", "drink"))
    where = _place(draw, _noun(draw, _WHERE[preposition.en]), many=0.15)
    return Standing(_definite(draw, thing, adjective=0.25), preposition, where, draw.chance(0.3))


def existing(draw: Draw) -> Sentence:
    """There are four red chairs in the kitchen."""
    preposition = _pick(draw, PREPOSITIONS)
    noun = _noun(draw, ("object", "animal", "clothing", "fruit"))
    where = _place(draw, _noun(draw, _WHERE[preposition.en]), many=0.15)
    chosen = _adjective(draw, noun, 0.35)
    if draw.chance(0.45):
        return Existing(NounPhrase(noun, "a", False, chosen), preposition, where)
    number = _pick(draw, NUMBERS) if draw.chance(0.75) else None
    return Existing(NounPhrase(noun, "some", True, chosen, number), preposition, where)


def liking(draw: Draw) -> Sentence:
    """The girl likes apples. They do not like cheese."""
    subject = _subject(draw, ("person",), both=False)
    noun = _noun(draw, ("fruit", "animal", "food", "food", "drink", "drink", "dish", "clothing"))
    assert not isinstance(subject, Both)
    return Liking(subject, NounPhrase(noun, "all", not noun.mass), draw.chance(0.3))


_COMPARED = tuple(adjective for adjective in ADJECTIVES if adjective.en_more)


def comparing(draw: Draw) -> Sentence:
    """The horse is faster than the cow."""
    adjective = _pick(draw, _COMPARED)
    kind = _pick(draw, adjective.kinds)
    noun, other = _noun(draw, (kind,)), _noun(draw, (kind,))
    first = _definite(draw, noun)
    second = NounPhrase(other, "the", first.many)
    if other is noun:
        second = NounPhrase(other, "my" if first.determiner != "my" else "our", first.many)
    return Comparing(first, adjective, second)


def asking(draw: Draw) -> Sentence:
    """Where are my keys? Who bought the lamp?"""
    if draw.chance(0.6):
        noun = _noun(draw, ("object", "animal", "clothing", "person", "place", "furniture", "vehicle", "drink"))
        return AskingWhere(_definite(draw, noun, adjective=0.3, many=0.3))
    verb = _pick(draw, TRANSITIVE)
    noun = _noun(draw, verb.things)
    tense = "past" if verb.en_past and draw.chance(0.4) else "present"
    return AskingWho(verb, tense, _definite(draw, noun, adjective=0.2, many=0.3))


PATTERNS: tuple[tuple[float, Callable[[Draw], Sentence]], ...] = (
    (0.38, acting),
    (0.08, giving),
    (0.09, doing),
    (0.05, going),
    (0.13, being),
    (0.08, standing),
    (0.08, existing),
    (0.06, liking),
    (0.03, comparing),
    (0.03, asking),
)


_SHARES = [share for share, _ in PATTERNS]


def sentence(draw: Draw) -> Sentence:
    """Any sentence, with or without held-out combinations."""
    _, make = draw.random.choices(PATTERNS, _SHARES)[0]
    return make(draw)
