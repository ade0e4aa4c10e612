"""The sorts of record the world has: what fields each has, how it is told, and what is asked about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .names import ANIMALS, COLOURS, FOODS, OBJECTS, Draw

Maker = Callable[[Draw], str]


@dataclass(frozen=True)
class Kind:
    """One sort of record. Texts are templates over the field names; `sentences` are told in order."""

    topic: str
    fields: Mapping[str, Maker]
    sentences: Sequence[Sequence[str]]
    questions: Mapping[str, Sequence[str]]
    summary: str


def _person(d: Draw) -> str:
    return d.person()


def _place(d: Draw) -> str:
    return d.place()


def _number(low: int, high: int) -> Maker:
    return lambda d: str(d.number(low, high))


def _from(items: Sequence[str]) -> Maker:
    return lambda d: d.one(items)


JOBS = (
    "doctor teacher farmer pilot writer baker engineer nurse painter driver chef lawyer singer builder".split()
)
HOBBIES = (
    "chess tennis painting cooking sailing reading running gardening swimming music dancing hiking".split()
)
SKIES = "sunny cloudy rainy windy foggy snowy stormy".split()
SPORTS = "football tennis hockey basketball rugby volleyball".split()

KINDS: tuple[Kind, ...] = (
    Kind(
        "business",
        {
            "person": _person,
            "subject": _from(["the budget", "the new office", "hiring", "safety", "prices", "the website"]),
            "place": _place,
            "day": Draw.date,
            "time": Draw.time,
        },
        [
            [
                "{person} will lead a meeting about {subject}.",
                "A meeting about {subject} is planned. {person} will lead it.",
            ],
            ["It takes place in {place}.", "The team meets in {place}."],
            ["The date is {day}.", "It is on {day}."],
            ["It starts at {time}.", "The start is at {time}."],
        ],
        {
            "person": ["Who will lead the meeting?", "Who leads the meeting?"],
            "subject": ["What is the meeting about?", "What is the topic of the meeting?"],
            "place": ["Where is the meeting?", "Where does the team meet?", "Where does it take place?"],
            "day": ["When is the meeting?", "On which day is the meeting?"],
            "time": ["At what time does it start?", "When does the meeting start?"],
        },
        "{person} leads a meeting about {subject}.",
    ),
    Kind(
        "business",
        {
            "company": Draw.company,
            "product": Draw.product,
            "item": _from(OBJECTS),
            "price": Draw.money,
            "place": _place,
            "day": Draw.date,
        },
        [
            [
                "{company} has a new {item} called {product}.",
                "A new {item} named {product} was shown by {company}.",
                "{company} presents {product}, a new {item}.",
            ],
            ["It costs {price}.", "The price is {price}."],
            ["It is made in {place}.", "The factory is in {place}."],
            ["It goes on sale on {day}.", "Shops will sell it from {day}."],
        ],
        {
            "company": ["Which company makes {product}?", "Who makes the new {item}?"],
            "product": ["What is the new {item} called?", "What is the name of the {item}?"],
            "item": ["What is {product}?", "What kind of product is {product}?"],
            "price": ["How much does it cost?", "What is the price of {product}?", "How much is the {item}?"],
            "place": ["Where is it made?", "Where is {product} made?"],
            "day": ["When does it go on sale?", "When can people buy {product}?"],
        },
        "{company} launches a new {item}, {product}.",
    ),
    Kind(
        "shopping",
        {
            "person": _person,
            "item": _from(OBJECTS),
            "colour": _from(COLOURS),
            "order": Draw.code,
            "price": Draw.money,
            "place": _place,
        },
        [
            ["{person} ordered a {colour} {item}.", "{person} bought a {colour} {item} online."],
            ["The order number is {order}.", "The order has the number {order}."],
            ["The total was {price}.", "{person} paid {price}."],
            ["It will be sent to {place}.", "The parcel goes to {place}."],
        ],
        {
            "person": ["Who ordered the {item}?", "Who is the customer?"],
            "item": ["What did {person} order?", "What was bought?"],
            "colour": ["What colour is the {item}?", "Which colour did {person} choose?"],
            "order": ["What is the order number?", "Which number does the order have?"],
            "price": ["How much did {person} pay?", "What was the total?"],
            "place": ["Where will it be sent?", "Where does the parcel go?"],
        },
        "{person} ordered a {item}.",
    ),
    Kind(
        "animals",
        {
            "pet": lambda d: d.first_name(),
            "animal": _from(ANIMALS),
            "person": _person,
            "age": _number(1, 15),
            "food": _from(FOODS),
            "place": _place,
        },
        [
            ["{pet} is a {animal} that belongs to {person}.", "{person} has a {animal} called {pet}."],
            ["{pet} is {age} years old.", "The {animal} is {age} years old."],
            ["{pet} likes to eat {food}.", "Its favourite food is {food}."],
            ["They live in {place}.", "Their home is in {place}."],
        ],
        {
            "pet": ["What is the {animal} called?", "What is the name of the {animal}?"],
            "animal": ["What kind of animal is {pet}?", "What is {pet}?"],
            "person": ["Who owns the {animal}?", "Who does {pet} belong to?"],
            "age": ["How old is {pet}?", "How old is the {animal}?"],
            "food": ["What does {pet} like to eat?", "What is the favourite food of {pet}?"],
            "place": ["Where do they live?", "Where does {pet} live?"],
        },
        "{pet} is a {animal} owned by {person}.",
    ),
    Kind(
        "travel",
        {
            "person": _person,
            "start": _place,
            "place": _place,
            "vehicle": _from(["train", "bus", "plane", "car", "ship"]),
            "day": Draw.date,
            "days": _number(2, 20),
        },
        [
            ["{person} travels from {start} to {place}.", "{person} is going from {start} to {place}."],
            ["The trip is by {vehicle}.", "The journey is made by {vehicle}."],
            ["It begins on {day}.", "The departure is on {day}."],
            ["The trip lasts {days} days.", "The visit takes {days} days."],
        ],
        {
            "person": ["Who is travelling?", "Who makes the trip?"],
            "start": ["Where does the trip start?", "From where does {person} leave?"],
            "place": ["Where is {person} going?", "What is the destination?"],
            "vehicle": ["How does {person} travel?", "What does {person} travel by?"],
            "day": ["When does the trip begin?", "When is the departure?"],
            "days": ["How many days does the trip last?", "How many days is it?"],
        },
        "{person} travels to {place} by {vehicle}.",
    ),
    Kind(
        "weather",
        {
            "place": _place,
            "day": Draw.date,
            "sky": _from(SKIES),
            "degrees": _number(1, 38),
            "wind": _number(5, 90),
        },
        [
            ["The weather in {place} on {day} will be {sky}.", "On {day} it will be {sky} in {place}."],
            ["The temperature will reach {degrees} degrees.", "Expect {degrees} degrees."],
            [
                "The wind blows at {wind} kilometres per hour.",
                "There will be wind of {wind} kilometres per hour.",
            ],
        ],
        {
            "place": ["Which place is the report about?", "Where will it be {sky}?"],
            "day": ["Which day is the report about?", "When will it be {sky}?"],
            "sky": ["What will the weather be like?", "How will the weather be in {place}?"],
            "degrees": ["What temperature is expected?", "How many degrees will it be?"],
            "wind": ["How fast is the wind?", "How strong will the wind be?"],
        },
        "{place} will be {sky} on {day}.",
    ),
    Kind(
        "sport",
        {
            "winner": _place,
            "loser": _place,
            "sport": _from(SPORTS),
            "score": lambda d: f"{d.number(3, 9)} to {d.number(0, 2)}",
            "person": _person,
            "fans": lambda d: str(d.number(1, 90) * 100),
        },
        [
            ["{winner} beat {loser} at {sport}.", "In {sport}, {winner} won against {loser}."],
            ["The score was {score}.", "The match ended {score}."],
            ["{person} was the best player.", "The best player was {person}."],
            ["{fans} people watched.", "The match was seen by {fans} people."],
        ],
        {
            "winner": ["Which team won?", "Who won the match?"],
            "loser": ["Which team lost?", "Who lost the match?"],
            "sport": ["Which sport was played?", "What did they play?"],
            "score": ["What was the score?", "How did the match end?"],
            "person": ["Who was the best player?", "Which player was the best?"],
            "fans": ["How many people watched?", "How many people saw the match?"],
        },
        "{winner} beat {loser} at {sport}.",
    ),
    Kind(
        "people",
        {
            "person": _person,
            "job": _from(JOBS),
            "place": _place,
            "age": _number(20, 80),
            "hobby": _from(HOBBIES),
            "company": Draw.company,
        },
        [
            ["{person} works as a {job} in {place}.", "{person} is a {job} from {place}."],
            ["{person} is {age} years old.", "The age of {person} is {age}."],
            ["The employer is {company}.", "{person} works for {company}."],
            ["{person} enjoys {hobby}.", "A favourite hobby is {hobby}."],
        ],
        {
            "person": ["Who is the text about?", "Who is the {job}?"],
            "job": ["What does {person} do?", "What is the job of {person}?"],
            "place": ["Where does {person} work?", "Where is {person} from?"],
            "age": ["How old is {person}?", "What is the age of {person}?"],
            "hobby": ["What does {person} enjoy?", "Which hobby does {person} have?"],
            "company": ["Who does {person} work for?", "Which company is the employer?"],
        },
        "{person} is a {job} in {place}.",
    ),
    Kind(
        "food",
        {
            "person": _person,
            "shop": lambda d: d.stem() + d.one([" Cafe", " Kitchen", " Bakery"]),
            "place": _place,
            "food": _from(FOODS),
            "price": Draw.money,
            "time": Draw.time,
        },
        [
            ["{person} runs {shop} in {place}.", "{shop} is a place to eat in {place}. {person} runs it."],
            ["It is known for its {food}.", "People come for the {food}."],
            ["A meal costs {price}.", "Lunch costs {price}."],
            ["It opens at {time}.", "The doors open at {time}."],
        ],
        {
            "person": ["Who runs {shop}?", "Who is the owner?"],
            "shop": ["What is the place called?", "What is the name of the place to eat?"],
            "place": ["Where is {shop}?", "In which place is {shop}?"],
            "food": ["What is it known for?", "What food is {shop} known for?"],
            "price": ["How much does a meal cost?", "What does a meal cost?"],
            "time": ["When does it open?", "At what time does {shop} open?"],
        },
        "{shop} in {place} is known for its {food}.",
    ),
    Kind(
        "health",
        {
            "person": _person,
            "patient": _person,
            "problem": _from(["a cold", "a sore back", "a broken arm", "a headache", "a cough", "a fever"]),
            "day": Draw.date,
            "place": _place,
            "advice": _from(["rest", "drink water", "sleep more", "take a walk", "come back next week"]),
        },
        [
            [
                "{patient} saw Doctor {person} because of {problem}.",
                "Doctor {person} treated {patient} for {problem}.",
            ],
            ["The visit was on {day}.", "The appointment was on {day}."],
            ["The clinic is in {place}.", "It was at the clinic in {place}."],
            ["The advice was to {advice}.", "The doctor said to {advice}."],
        ],
        {
            "person": ["Who is the doctor?", "Which doctor treated {patient}?"],
            "patient": ["Who is the patient?", "Who saw the doctor?"],
            "problem": ["Why did {patient} see the doctor?", "What was the problem?"],
            "day": ["When was the visit?", "When was the appointment?"],
            "place": ["Where is the clinic?", "Where was the appointment?"],
            "advice": ["What was the advice?", "What did the doctor say to do?"],
        },
        "{patient} saw a doctor because of {problem}.",
    ),
)

TOPICS = tuple(sorted({kind.topic for kind in KINDS}))
