"""Sentences over all rules of the grammar, with translations written by hand."""

from __future__ import annotations

import pytest

from genai_stack.training.world.translation import TARGETS
from genai_stack.training.world.translation import lexicon as words
from genai_stack.training.world.translation.english import render
from genai_stack.training.world.translation.sentence import (
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
)

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


def np(described: str) -> NounPhrase:
    """`the old dog`, `these ten dog/s`, `some bread`: determiner, number, adjective, noun, `/s` where plural."""
    determiner, *inner, noun = described.split(" ")
    noun, _, many = noun.partition("/")
    number = next((_PHRASES[w] for w in inner if w in _PHRASES), None)
    adjective = next((_ADJECTIVES[w] for w in inner if w in _ADJECTIVES), None)
    return NounPhrase(_NOUNS[noun], determiner, bool(many), adjective, number)


def v(verb: str) -> words.Verb:
    return _VERBS[verb]


def a(adjective: str) -> words.Adjective:
    return _ADJECTIVES[adjective]


def p(phrase: str) -> words.Phrase:
    return _PHRASES[phrase]


KNOWN: tuple[tuple[Sentence, str, str, str, str], ...] = (
    (
        Action(np("the boy"), v("buy"), thing=np("a old lamp")),
        "The boy buys an old lamp.",
        "Le garçon achète une vieille lampe.",
        "Der Junge kauft eine alte Lampe.",
        "El niño compra una lámpara vieja.",
    ),
    (
        Action(Pronoun("I"), v("see"), thing=np("a old elephant")),
        "I see an old elephant.",
        "Je vois un vieil éléphant.",
        "Ich sehe einen alten Elefanten.",
        "Veo a un elefante viejo.",
    ),
    (
        Action(Pronoun("I"), v("open"), thing=np("the window")),
        "I open the window.",
        "J'ouvre la fenêtre.",
        "Ich öffne das Fenster.",
        "Abro la ventana.",
    ),
    (
        Action(np("the girl"), v("eat"), thing=np("some bread")),
        "The girl eats bread.",
        "La fille mange du pain.",
        "Das Mädchen isst Brot.",
        "La niña come pan.",
    ),
    (
        Action(np("the girl/s"), v("drink"), thing=np("some cold water")),
        "The girls drink cold water.",
        "Les filles boivent de l'eau froide.",
        "Die Mädchen trinken kaltes Wasser.",
        "Las niñas beben agua fría.",
    ),
    (
        Action(np("the woman"), v("eat"), thing=np("some meat"), negative=True),
        "The woman does not eat meat.",
        "La femme ne mange pas de viande.",
        "Die Frau isst kein Fleisch.",
        "La mujer no come carne.",
    ),
    (
        Action(Pronoun("we"), v("have"), thing=np("a car"), negative=True),
        "We do not have a car.",
        "Nous n'avons pas de voiture.",
        "Wir haben kein Auto.",
        "No tenemos coche.",
    ),
    (
        Action(np("the doctor"), v("repair"), "past", thing=np("his bicycle"), negative=True),
        "The doctor did not repair his bicycle.",
        "Le médecin n'a pas réparé son vélo.",
        "Der Arzt reparierte sein Fahrrad nicht.",
        "El médico no reparó su bicicleta.",
    ),
    (
        Action(np("the student"), v("help"), thing=np("the farmer")),
        "The student helps the farmer.",
        "L'étudiant aide l'agriculteur.",
        "Der Student hilft dem Bauern.",
        "El estudiante ayuda al granjero.",
    ),
    (
        Action(
            Pronoun("she"), v("sell"), thing=np("her beautiful flower/s"), when=p("on Monday"), fronted=True
        ),
        "On Monday, she sells her beautiful flowers.",
        "Lundi, elle vend ses belles fleurs.",
        "Am Montag verkauft sie ihre schönen Blumen.",
        "El lunes, ella vende sus flores hermosas.",
    ),
    (
        Action(np("the man/s"), v("build"), "future", thing=np("a new house"), when=p("next year")),
        "The men will build a new house next year.",
        "Les hommes construiront une nouvelle maison l'année prochaine.",
        "Die Männer werden nächstes Jahr ein neues Haus bauen.",
        "Los hombres construirán una casa nueva el próximo año.",
    ),
    (
        Action(np("the king"), v("drink"), modal=v("want to"), thing=np("some good wine")),
        "The king wants to drink good wine.",
        "Le roi veut boire du bon vin.",
        "Der König will guten Wein trinken.",
        "El rey quiere beber vino bueno.",
    ),
    (
        Action(Pronoun("they"), v("find"), modal=v("can"), thing=np("some small key/s")),
        "They can find small keys.",
        "Ils peuvent trouver de petites clés.",
        "Sie können kleine Schlüssel finden.",
        "Ellos pueden encontrar llaves pequeñas.",
    ),
    (
        Action(np("my brother"), v("clean"), modal=v("must"), thing=np("our kitchen")),
        "My brother must clean our kitchen.",
        "Mon frère doit nettoyer notre cuisine.",
        "Mein Bruder muss unsere Küche reinigen.",
        "Mi hermano debe limpiar nuestra cocina.",
    ),
    (
        Action(np("the teacher"), v("give"), thing=np("the book"), recipient=np("the boy")),
        "The teacher gives the book to the boy.",
        "Le professeur donne le livre au garçon.",
        "Der Lehrer gibt dem Jungen das Buch.",
        "El profesor le da el libro al niño.",
    ),
    (
        Action(np("the queen"), v("show"), "past", thing=np("this ring"), recipient=np("the doctor/s")),
        "The queen showed this ring to the doctors.",
        "La reine a montré cette bague aux médecins.",
        "Die Königin zeigte den Ärzten diesen Ring.",
        "La reina les mostró este anillo a los médicos.",
    ),
    (
        Action(Name("Anna"), v("send"), thing=np("a letter"), recipient=Name("Paul")),
        "Anna sends a letter to Paul.",
        "Anna envoie une lettre à Paul.",
        "Anna schickt Paul einen Brief.",
        "Anna le envía una carta a Paul.",
    ),
    (
        Action(np("the cat"), v("sleep"), way="in", where=np("the garden"), frequency=p("often")),
        "The cat often sleeps in the garden.",
        "Le chat dort souvent dans le jardin.",
        "Die Katze schläft oft im Garten.",
        "El gato a menudo duerme en el jardín.",
    ),
    (
        Action(Pronoun("I"), v("work"), way="in", where=Name("Oslo"), frequency=p("never")),
        "I never work in Oslo.",
        "Je ne travaille jamais à Oslo.",
        "Ich arbeite nie in Oslo.",
        "Nunca trabajo en Oslo.",
    ),
    (
        Action(Pronoun("I"), v("live"), way="in", where=np("a hotel"), negative=True),
        "I do not live in a hotel.",
        "Je n'habite pas dans un hôtel.",
        "Ich wohne nicht in einem Hotel.",
        "No vivo en un hotel.",
    ),
    (
        Action(Both(np("the mother"), np("the aunt")), v("go"), "past", way="to", where=np("the station")),
        "The mother and the aunt went to the station.",
        "La mère et la tante sont allées à la gare.",
        "Die Mutter und die Tante gingen zum Bahnhof.",
        "La madre y la tía fueron a la estación.",
    ),
    (
        Action(np("the boy/s"), v("come"), "past", way="from", where=np("the school"), negative=True),
        "The boys did not come from the school.",
        "Les garçons ne sont pas venus de l'école.",
        "Die Jungen kamen nicht von der Schule.",
        "Los niños no vinieron de la escuela.",
    ),
    (
        Action(Pronoun("he"), v("come"), way="from", where=Name("Austin")),
        "He comes from Austin.",
        "Il vient d'Austin.",
        "Er kommt aus Austin.",
        "Él viene de Austin.",
    ),
    (
        Action(np("the hunter"), v("go"), way="to", where=np("the castle")),
        "The hunter goes to the castle.",
        "Le chasseur va au château.",
        "Der Jäger geht zum Schloss.",
        "El cazador va al castillo.",
    ),
    (
        Action(np("the lion"), v("follow"), "past", thing=np("the small monkey")),
        "The lion followed the small monkey.",
        "Le lion a suivi le petit singe.",
        "Der Löwe folgte dem kleinen Affen.",
        "El león siguió al mono pequeño.",
    ),
    (
        Action(np("the eagle"), v("chase"), thing=np("the mouse/s")),
        "The eagle chases the mice.",
        "L'aigle poursuit les souris.",
        "Der Adler jagt die Mäuse.",
        "El águila persigue a los ratones.",
    ),
    (
        Being(np("the shoe/s"), a("expensive"), negative=True),
        "The shoes are not expensive.",
        "Les chaussures ne sont pas chères.",
        "Die Schuhe sind nicht teuer.",
        "Los zapatos no son caros.",
    ),
    (
        Being(Pronoun("she"), a("tired"), past=True),
        "She was tired.",
        "Elle était fatiguée.",
        "Sie war müde.",
        "Ella estaba cansada.",
    ),
    (
        Being(Both(np("the jacket"), np("the coat")), a("new")),
        "The jacket and the coat are new.",
        "La veste et le manteau sont nouveaux.",
        "Die Jacke und der Mantel sind neu.",
        "La chaqueta y el abrigo son nuevos.",
    ),
    (
        Being(np("my chair/s"), a("brown")),
        "My chairs are brown.",
        "Mes chaises sont marron.",
        "Meine Stühle sind braun.",
        "Mis sillas son marrones.",
    ),
    (
        Standing(np("the lamp"), p("behind"), np("the sofa")),
        "The lamp is behind the sofa.",
        "La lampe est derrière le canapé.",
        "Die Lampe ist hinter dem Sofa.",
        "La lámpara está detrás del sofá.",
    ),
    (
        Standing(np("their dog/s"), p("next to"), np("the tree/s"), past=True),
        "Their dogs were next to the trees.",
        "Leurs chiens étaient à côté des arbres.",
        "Ihre Hunde waren neben den Bäumen.",
        "Sus perros estaban al lado de los árboles.",
    ),
    (
        Existing(np("some four red chair/s"), p("in"), np("the kitchen")),
        "There are four red chairs in the kitchen.",
        "Il y a quatre chaises rouges dans la cuisine.",
        "In der Küche sind vier rote Stühle.",
        "Hay cuatro sillas rojas en la cocina.",
    ),
    (
        Existing(np("a strange owl"), p("on"), np("the roof")),
        "There is a strange owl on the roof.",
        "Il y a un hibou étrange sur le toit.",
        "Auf dem Dach ist eine seltsame Eule.",
        "Hay un búho extraño en el tejado.",
    ),
    (
        Liking(np("the girl"), np("all apple/s")),
        "The girl likes apples.",
        "La fille aime les pommes.",
        "Das Mädchen mag Äpfel.",
        "A la niña le gustan las manzanas.",
    ),
    (
        Liking(Pronoun("I"), np("all cheese"), negative=True),
        "I do not like cheese.",
        "Je n'aime pas le fromage.",
        "Ich mag keinen Käse.",
        "No me gusta el queso.",
    ),
    (
        Comparing(np("this horse"), a("fast"), np("the cow")),
        "This horse is faster than the cow.",
        "Ce cheval est plus rapide que la vache.",
        "Dieses Pferd ist schneller als die Kuh.",
        "Este caballo es más rápido que la vaca.",
    ),
    (
        Comparing(np("my sister/s"), a("strong"), np("the uncle/s")),
        "My sisters are stronger than the uncles.",
        "Mes sœurs sont plus fortes que les oncles.",
        "Meine Schwestern sind stärker als die Onkel.",
        "Mis hermanas son más fuertes que los tíos.",
    ),
    (
        AskingWhere(np("my key/s")),
        "Where are my keys?",
        "Où sont mes clés ?",
        "Wo sind meine Schlüssel?",
        "¿Dónde están mis llaves?",
    ),
    (
        AskingWho(v("help"), "past", np("the woman")),
        "Who helped the woman?",
        "Qui a aidé la femme ?",
        "Wer half der Frau?",
        "¿Quién ayudó a la mujer?",
    ),
)


@pytest.mark.parametrize(("said", "en", "fr", "de", "es"), KNOWN, ids=[row[1] for row in KNOWN])
def test_sentences_whose_translations_are_known(said: Sentence, en: str, fr: str, de: str, es: str) -> None:
    assert render(said) == en
    assert {target: TARGETS[target](said) for target in TARGETS} == {"fr": fr, "de": de, "es": es}
