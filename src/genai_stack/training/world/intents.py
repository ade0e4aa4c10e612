"""Messages with an intent: what the writer wants. `{i}` is an item, `{n}` a name, `{o}` an order, `{d}` a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .facts import with_articles
from .kinds import day
from .names import COLOURS, OBJECTS, Draw

NAMES: Mapping[str, tuple[str, str]] = {
    "order": ("purchase", "the customer wants to buy something"),
    "complaint": ("problem", "the customer is unhappy with something"),
    "question": ("inquiry", "the customer wants to know something"),
    "cancel": ("cancellation", "the customer wants to stop an order"),
    "greeting": ("hello", "the customer says hello"),
    "thanks": ("gratitude", "the customer says thank you"),
    "booking": ("appointment", "the customer wants a table, a room or a date"),
    "goodbye": ("farewell", "the customer says goodbye"),
}

MESSAGES: Mapping[str, Sequence[str]] = {
    "order": (
        "I would like to buy a {i}.", "Please send me a {i}.", "I want to order a {i}.", "I take the {i}, please.",
        "Can I buy a {i} from you?", "Two of the {i}, please.", "Please put a {i} on my order.",
        "I will have the {i}.",
        "I need a {i}. Please send it.", "Please order a {i} for me.", "I want to buy the {i} from you.",
    ),
    "complaint": (
        "The {i} is broken.", "I am unhappy with the {i}.", "The {i} does not work at all.", "The {i} came too late.",
        "The {i} is dirty and bad.", "This {i} is a waste of money.", "I am angry because the {i} is damaged.",
        "The {i} fell apart after a day.", "You sent me a bad {i}.", "I am angry. The {i} does not work.",
        "The {i} is damaged and came too late.",
    ),
    "question": (
        "Which colours does the {i} have?", "How much is the {i}?", "Is the {i} made of wood?",
        "When does your shop open?",
        "How heavy is the {i}?", "Where is your shop?", "Does the {i} fit into a bag?",
        "What is the size of the {i}?",
        "Who makes the {i}?", "How big is the {i}?", "Where is the {i} made?",
    ),
    "cancel": (
        "Please cancel order {o}.", "I want to cancel my order.", "Stop order {o}, please.",
        "I do not want the {i} any more.",
        "Cancel the {i}, please.", "Please take the {i} off my order.", "Please stop the delivery of the {i}.",
        "I no longer want order {o}.", "Do not send the {i}.", "Please cancel the {i}.",
        "I do not want order {o} any more.",
    ),
    "greeting": (
        "Hello!", "Hi there!", "Good morning!", "Good evening, {n}.", "Hello, this is {n}.", "Hi {n}!",
        "Good day to you all.",
        "Hello {n}, nice to meet you.", "Hey {n}!", "Hi, this is {n}.", "Good morning, {n}!",
    ),
    "thanks": (
        "Thank you very much!", "Thanks for your help, {n}.", "Many thanks for the {i}.", "Thank you, {n}.",
        "I thank you all.", "Thanks a lot!", "That was kind. Thank you.", "A big thank you to {n}.",
        "You helped me a lot, thanks.", "Thank you for your help!", "Many thanks, {n}.",
    ),
    "booking": (
        "I would like a table for two on {d}.", "Please book a room for {n} on {d}.",
        "Can I reserve a table for {d}?",
        "I need an appointment on {d}.", "Reserve a seat for {n}, please.", "Book a table for four, please.",
        "Is a room free on {d}? Then I take it.", "I want to reserve two rooms for {d}.",
        "Please keep a table for {n}.",
        "Please reserve a room for {n}.", "I want to book a table on {d}.",
    ),
    "goodbye": (
        "Goodbye!", "Bye, {n}.", "See you on {d}.", "See you later!", "Good night, {n}.", "Have a nice evening, bye.",
        "I have to go now. Bye.", "Until next time, {n}!", "Bye bye!", "Goodbye, {n}!", "Bye, see you later.",
    ),
}  # fmt: skip


def text(draw: Draw, intent: str) -> str:
    item = draw.one(OBJECTS) if draw.chance(0.5) else " ".join(draw.pair(COLOURS, OBJECTS))
    told = draw.wording(MESSAGES[intent])
    if "{" in told:
        values = {"{i}": item, "{n}": draw.first_name(), "{o}": draw.code(), "{d}": day(draw)}
        for place, value in values.items():
            told = told.replace(place, value)
    return with_articles(told)
