"""Sentences with a topic, beside the records that have one. `{n}` is a name, `{c}` a place, `{f}` a company."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .facts import KINDS, passage, with_articles
from .names import Draw

NAMES: Mapping[str, tuple[str, str]] = {
    "sport": ("sports", "matches, teams and players"),
    "weather": ("climate", "sun, rain, wind and snow"),
    "travel": ("trips", "trips, hotels and journeys"),
    "food": ("cooking", "meals, restaurants and recipes"),
    "health": ("medicine", "doctors, patients and illness"),
    "music": ("concerts", "singers, songs and concerts"),
    "animals": ("pets", "pets and other animals"),
    "books": ("reading", "books, authors and stories"),
    "school": ("education", "teachers, pupils and courses"),
    "business": ("companies", "companies, sales and meetings"),
    "shopping": ("orders", "orders, parcels and shops"),
    "technology": ("computers", "computers, software and machines"),
    "politics": ("government", "elections, laws and ministers"),
}
"""Each topic with another word for it, and what it is about."""

SENTENCES: Mapping[str, Sequence[str]] = {
    "sport": (
        "The team of {c} won by two goals.", "{n} scored the winning goal.", "The match in {c} ended in a draw.",
        "The players train every day before the match.", "{n} ran the race in record time.",
        "The trainer is happy with the team.",
        "The fans cheered when {n} scored.", "The team lost the final match.", "{n} won the tennis match in {c}.",
        "The match was won by the team of {c}.", "{n} is the best player of the team.",
    ),
    "weather": (
        "It will rain in {c} tomorrow.", "The sun shines in {c} all day.", "Snow fell in {c} during the night.",
        "A storm is coming with strong wind.", "It is very cold in {c} with ten degrees of frost.",
        "Clouds and fog are expected in the morning.", "The temperature rises to thirty degrees.",
        "A warm wind blows in {c}.", "After the rain the sun comes out.",
        "Tomorrow there will be rain and wind in {c}.",
        "The sun will shine and it will be warm.",
    ),
    "travel": (
        "{n} flew to {c} for the holidays.", "The train to {c} leaves in the morning.",
        "{n} packed a bag for the trip.",
        "The hotel in {c} has a view of the sea.", "The flight to {c} takes three hours.",
        "Tourists take the bus to {c}.",
        "{n} booked a hotel room for the holidays.", "The journey to {c} was long.",
        "{n} goes on a trip around the world.",
        "The trip to {c} takes two days by train.", "{n} booked a flight for the holidays.",
    ),
    "food": (
        "{n} cooked soup for dinner.", "The cake tastes sweet.", "The restaurant in {c} serves fresh fish.",
        "Mix the eggs with the flour and bake the cake.", "The cook adds salt to the soup.",
        "{n} ate pasta with tomatoes for lunch.",
        "The recipe needs butter, milk and eggs.", "This bread is fresh from the oven.", "{n} likes rice with beans.",
        "The soup needs salt and butter.", "{n} cooked pasta for lunch.",
    ),
    "health": (
        "{n} has a fever and stays in bed.", "The doctor looked at the broken leg.",
        "The nurse gave the patient a pill.",
        "The hospital in {c} has many patients.", "{n} took medicine for the cough.",
        "The patient feels better after the treatment.",
        "{n} saw a dentist because of a toothache.", "The clinic treats people with back pain.",
        "A healthy heart needs exercise.",
        "The doctor gave {n} medicine for the fever.", "The patient has a cough and stays in bed.",
    ),
    "music": (
        "{n} plays the piano.", "The band played five songs in {c}.", "The singer has a new album.",
        "{n} wrote a song for the guitar.", "The concert in {c} was loud.", "The choir sang old songs.",
        "The orchestra plays at the concert tonight.", "{n} is learning the violin.", "The drummer left the band.",
        "{n} sang a song at the concert.", "The band plays the guitar and the piano.",
    ),
    "animals": (
        "The dog barks at the cat.", "A bird built a nest in the tree.", "The horse ran over the field.",
        "{n} feeds the rabbits.",
        "The cat sleeps on the sofa.", "Elephants drink at the river.", "The zoo in {c} has two young lions.",
        "A fox was seen near the hens.", "The bees fly around the flowers.", "The dog of {n} runs after the rabbits.",
        "The cat and the bird live in the zoo.",
    ),
    "books": (
        "{n} wrote a new novel.", "The library in {c} has many books.", "The story begins with a letter.",
        "{n} reads a chapter every night.", "The author signs books in {c}.", "The poems of {n} were printed again.",
        "The last page of the novel is sad.", "The writer works on her next story.",
        "This novel has three hundred pages.",
        "The author wrote a story of many pages.", "{n} reads a novel from the library.",
    ),
    "school": (
        "The teacher gave the class homework.", "The pupils wrote a test.", "{n} learns maths at school.",
        "The lesson begins after the break.", "The students study for the exam.",
        "The university in {c} has a new course.",
        "{n} passed the exam with good marks.", "The class learns to write.",
        "The headmaster opened the new school in {c}.",
        "The pupils of {n} learn for the test.", "The teacher begins the lesson with homework.",
    ),
    "business": (
        "{f} earned more money this year.", "The company hired ten workers.", "The shares of {f} rose.",
        "{f} opened a new office in {c}.", "The boss of {f} planned the budget.", "Sales at {f} fell by a tenth.",
        "The bank gave {f} a loan.", "The board of {f} met in {c}.", "{f} bought a smaller company.",
        "The profit of the company rose this year.", "{f} hired workers for the new office.",
    ),
    "shopping": (
        "{n} bought a lamp in the shop.", "The parcel for {n} was delivered.", "The shop sells shoes at half price.",
        "{n} ordered two jackets online.", "The customer paid at the till.", "The shop in {c} has a sale.",
        "{n} put the chair into the basket.", "Your order has been sent.", "The delivery of the order is late.",
        "The customer ordered a chair in the shop.", "{n} paid for the parcel.",
    ),
    "technology": (
        "The new phone has a better screen.", "The software update fixes a bug.", "{n} wrote a computer program.",
        "The robot can open doors.", "The laptop needs a new battery.", "The website was down for an hour.",
        "The app saves the data on the server.", "{n} lost the password of the computer.",
        "The chip makes the computer faster.",
        "The new software makes the phone faster.", "The program runs on the computer of {n}.",
    ),
    "politics": (
        "The president spoke to the parliament.", "{n} won the election in {c}.", "The minister signed the law.",
        "The people of {c} vote on Sunday.", "The parliament passed a new law.", "The government lowers the taxes.",
        "{n} wants to become president.", "The party lost many votes.", "The minister met the president in {c}.",
        "The parliament voted on the law of the minister.", "{n} won many votes in the election.",
    ),
}  # fmt: skip
_KINDS = {topic: [kind for kind in KINDS if kind.topic == topic] for topic in NAMES}


def text(draw: Draw, topic: str) -> str:
    """A record of the topic, or one or two sentences."""
    kinds = _KINDS[topic]
    if kinds and draw.chance(0.4):
        return passage(draw, forms=("report",), kinds=kinds, several=0.0, told=(2, 3), telling=True).text
    chosen = [draw.wording(SENTENCES[topic])]
    if draw.chance(0.4) and (second := draw.wording(SENTENCES[topic])) not in chosen:
        chosen.append(second)
    names = {"{n}": draw.first_name(), "{c}": draw.place(), "{f}": draw.company()}
    told = " ".join(chosen)
    for place, name in names.items():
        told = told.replace(place, name)
    return with_articles(told)
