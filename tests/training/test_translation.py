from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_stack.training.world.names import Draw, is_heldout
from genai_stack.training.world.translation import TARGETS, pair
from genai_stack.training.world.translation import lexicon as words
from genai_stack.training.world.translation.combinations import combinations
from genai_stack.training.world.translation.english import render
from genai_stack.training.world.translation.pairs import drawn
from genai_stack.training.world.translation.sentence import (
    Action,
    Name,
    Sentence,
)

COUNT = 20_000
_VERBS = {v.en: v for v in (*words.TRANSITIVE, *words.GIVING, *words.DOING, *words.GOING, *words.MODALS)}
_ADJECTIVES = {a.en: a for a in words.ADJECTIVES}
_NOUNS = {n.en: n for n in words.NOUNS}
_PHRASES = {
    p.en: p
    for p in (
        *words.NUMBERS,
        *words.TIMES,
        *words.PRESENT_TIMES,
        *words.PAST_TIMES,
        *words.FUTURE_TIMES,
        *words.FREQUENCIES,
        *words.PREPOSITIONS,
    )
}


@pytest.fixture(scope="module")
def many() -> list[tuple[Sentence, str]]:
    draw = Draw(1)
    said = [drawn(draw) for _ in range(COUNT)]
    return [(s, render(s)) for s in said]


def test_every_word_of_the_lexicon_turns_up(many: list[tuple[Sentence, str]]) -> None:
    seen = Counter(word for _, text in many for word in re.findall(r"[a-z']+", text.lower()))
    for noun in words.NOUNS:
        assert seen[noun.en] + seen[noun.en_many] >= 20, noun.en
    for adjective in words.ADJECTIVES:
        assert seen[adjective.en] >= 20, adjective.en
    for phrase in _PHRASES.values():
        assert seen[phrase.en.split()[-1].lower()] >= 20, phrase.en
    for verb in _VERBS.values():
        first = verb.en.split()[0]
        assert (
            sum(seen[form] for form in (first, f"{first}s", f"{first}es", verb.en_past.split(" ")[0])) >= 20
        ), first


def test_the_lexicon_has_more_than_four_hundred_words_of_one_sense_each() -> None:
    nouns, adjectives, verbs = (
        [w.en for w in kind] for kind in (words.NOUNS, words.ADJECTIVES, _VERBS.values())
    )
    assert len([*nouns, *adjectives, *verbs, *_PHRASES]) >= 400
    assert [word for word, count in Counter([*nouns, *adjectives]).items() if count > 1] == []
    assert not set(nouns) & set(verbs)


@pytest.mark.parametrize("target", TARGETS)
def test_a_translation_is_a_function_of_its_sentence(many: list[tuple[Sentence, str]], target: str) -> None:
    known: dict[str, str] = {}
    for said, text in many[:10_000]:
        translation = TARGETS[target](said)
        assert known.setdefault(text, translation) == translation


_FR_M = "petit|grand|beau|bel|vieux|vieil|nouveau|nouvel|bon|mauvais|long"
_FR_F = "petite|grande|belle|vieille|nouvelle|bonne|mauvaise|longue"
_FR_MORE = "noir|vert|lourd|rond|élégant|froid|chaud|fort|lent|mouillé|cassé|fatigué|intelligent"
_ES_M = "rojo|negro|blanco|pequeño|viejo|nuevo|sucio|bueno|hermoso|caro|rápido|cansado"
_ES_F = "roja|negra|blanca|pequeña|vieja|nueva|sucia|buena|hermosa|cara|rápida|cansada"
WRONG = {
    "fr": (
        r"\b(?i:le|la|de|je|ne|que|ce|ma|sa) (?!huit|onze|hibou|hérisson)[aeiouhâàéèêîôœ]",
        r"[Ll]'(hibou|hérisson|[^aeiouhâàéèêîôœ])",
        r"\b(à|de) les?\b",
        rf"\b(?i:un|le|ce|du|au) ({_FR_F})\b",
        rf"\b(?i:une|la|cette|ma|sa) ({_FR_M})\b",
        r"\b(?i:un|le|cet?|mon|son|notre|leur) (beau|vieux|nouveau) (?!hibou|hérisson)[aeiouhâéêîôœ]",
        r"\b(bel|vieil|nouvel) (?![aeiouhâéêîôœ])",
        rf"\b(?i:une|la|cette) \w+ ({_FR_MORE})\b",
        rf"\b(?i:un|le|ce|cet) \w+ ({_FR_MORE})e\b",
        r"\b(?i:les|des|ces|mes|ses|nos|leurs|aux|deux|trois|quatre|cinq|six|sept|huit|neuf|dix) (?!\w+[sxz]\b)",
        r"\bdes (petit|grand|belle|beau|vieux|vieille|nouve|bon|mauvais|longu|jeune)",
        r"[^ ]\?",
    ),
    "de": (
        r"\b[Ii]n dem\b|\bzu de[mr]\b|\bvon dem\b",
        r"\b([Kk]?[Ee]in|[Mm]ein|[Ss]ein|[Ii]hr|[Uu]nser) (?!\w+(er|es) )[a-zäöüß]+ [A-ZÄÖÜ]",
        r"\b([Dd]er|[Dd]ie|[Dd]as|[Dd]iese[rs]?) (?!\w+en? )[a-zäöüß]+ [A-ZÄÖÜ]",
        r"\b(dem|den|[Ii]m|zum|zur|vom|diesem|einem|einer|meinen) (?!\w+en )[a-zäöüß]+ [A-ZÄÖÜ]",
        r"\b(drei|vier|fünf|sechs|sieben|acht) (?!\w+en? )[a-zäöüß]+ [A-ZÄÖÜ]",
        r"\bnicht ein",
        r"\b(den|dem|einen|einem|meinen|diesen) (Junge|Bär|Löwe|Affe|Elefant|Student|Prinz|Pilot|Bauer)\b",
    ),
    "es": (
        r"\b(a|de) el\b",
        r"\b([Ll]a|[Uu]na) (agua|águila)\b",
        rf"\b([Ee]l|[Uu]n|[Ee]st?e|[Ll]os|[Ee]stos) (?!agua|águila)\w+ ({_ES_F})s?\b",
        rf"\b([Ll]a|[Uu]na|[Ee]sta|[Ll]as|[Ee]stas) \w+ ({_ES_M})s?\b",
        r"\b([Ll]os|(?<![Aa] )[Ll]as|[Ee]stos|[Ee]stas|mis|dos|tres|cuatro|cinco) (?!\w+s\b)",
        r"^[^¿]*\?",
    ),
}
"""What is wrong wherever it stands, by the letters alone."""


@pytest.mark.parametrize("target", TARGETS)
def test_no_translation_breaks_a_rule_that_shows_in_its_letters(
    many: list[tuple[Sentence, str]], target: str
) -> None:
    wrong = re.compile("|".join(f"(?:{rule})" for rule in WRONG[target]))
    found = [text for said, _ in many[:5000] if wrong.search(text := TARGETS[target](said))]
    assert found == []


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("fr", "Le homme dort."),
        ("fr", "Il parle à le roi."),
        ("fr", "Je vois l'hibou."),
        ("fr", "Une grand maison."),
        ("fr", "Le beau arbre est grand."),
        ("fr", "Il achète les lampe."),
        ("de", "Er geht zu dem Bahnhof."),
        ("de", "Ein alte Mann schläft."),
        ("de", "Der roter Apfel ist gut."),
        ("de", "In der Küche sind vier rot Stühle."),
        ("es", "Veo a el niño."),
        ("es", "La agua está fría."),
        ("es", "La casa blanco es grande."),
        ("es", "Compra dos manzana."),
    ],
)
def test_the_rules_find_what_breaks_them(target: str, text: str) -> None:
    assert any(re.search(rule, text) for rule in WRONG[target])


NEGATION = {"fr": r"\b[Nn](e |')\S+ pas\b", "de": r"\b(nicht|kein)", "es": r"\b[Nn]o\b"}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.sampled_from(sorted(TARGETS)))
def test_a_pair_is_a_sentence_and_its_translation(seed: int, heldout: bool, target: str) -> None:
    found = pair(Draw(seed, heldout=heldout), target)
    assert found == pair(Draw(seed, heldout=heldout), target)
    assert found.target == target
    for text in (found.text, found.translation):
        assert not re.search(r"[{}|_*]|  | [.,]|,,", text)
        assert re.fullmatch(r"¿?[A-ZÀ-Ý].*[.?]", text)
    assert found.text.endswith("?") == found.translation.endswith("?")
    assert (" not " in found.text) == bool(re.search(NEGATION[target], found.translation))


def test_the_target_is_drawn_where_none_is_asked_for() -> None:
    draw = Draw(3)
    assert Counter(pair(draw).target for _ in range(300)).keys() == TARGETS.keys()


def test_german_nouns_are_capitalised() -> None:
    assert all(
        form[0].isupper() for noun in words.NOUNS for form in (noun.de.one, noun.de.many, noun.de.oblique)
    )


@given(st.integers(0, 2**31))
def test_a_heldout_combination_is_in_every_heldout_sentence_and_in_no_other(seed: int) -> None:
    for heldout in (False, True):
        assert any(map(is_heldout, combinations(drawn(Draw(seed, heldout=heldout))))) is heldout


def test_no_training_text_has_a_heldout_adjective_beside_its_noun(many: list[tuple[Sentence, str]]) -> None:
    forms = {form: noun.en for noun in words.NOUNS for form in (noun.en, noun.en_many)}
    beside = {
        (first, forms[second])
        for _, text in many
        for first, second in re.findall(r"(?=\b(\w+) (\w+))", text)
        if first in _ADJECTIVES and second in forms
    }
    assert len(beside) > 1000
    assert not [pair for pair in beside if is_heldout(" ".join(pair))]


def test_names_come_from_the_draws_set() -> None:
    for heldout in (False, True):
        draw = Draw(5, heldout=heldout)
        said = [drawn(draw) for _ in range(500)]
        names = {s.subject.text for s in said if isinstance(s, Action) and isinstance(s.subject, Name)}
        assert names
        assert {is_heldout(name) for name in names} == {heldout}
