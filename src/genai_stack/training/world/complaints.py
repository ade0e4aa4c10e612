"""What customers write to a shop, by concern. The `HELDOUT` wordings appear in no corpus and no training file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .names import OBJECTS, Draw

WORDINGS: Mapping[str, Sequence[str]] = {
    "delivery": (
        "My {item} has not arrived.", "Where is my {item}?", "The parcel with the {item} is late.",
        "I am still waiting for the {item}.", "The {item} was sent to the wrong address.",
        "The tracking page shows nothing for my {item}.", "When will my {item} be delivered?",
        "The courier never came with my {item}.", "My {item} is lost in the post.",
        "The delivery of the {item} is three days late.", "The {item} is not here yet.",
        "The courier left the parcel with the {item} at the wrong door.", "Has the {item} been sent?",
    ),
    "return": (
        "I want to send the {item} back.", "The {item} is the wrong size.", "Please let me return the {item}.",
        "I do not like the {item} and want to return it.", "The {item} has the wrong colour.",
        "How do I send back the {item}?", "I changed my mind about the {item}.", "This is not the {item} I ordered.",
        "I got two of the {item} and want to return one.", "The {item} does not fit. Can it go back?",
        "I no longer need the {item}.", "You sent me the wrong {item}. I want to return it.",
    ),
    "payment": (
        "I was charged twice for the {item}.", "The invoice for the {item} is wrong.",
        "The payment for the {item} failed.", "Please send me the invoice for the {item}.",
        "My card was charged too much for the {item}.", "The price of the {item} on the bill is wrong.",
        "I need a receipt for the {item}.", "Why did I pay twice for the {item}?",
        "The discount is missing from the bill for the {item}.", "My payment for the {item} does not go through.",
        "There is a wrong charge on my card for the {item}.", "I did not get a bill for the {item}.",
    ),
    "repair": (
        "The {item} is broken.", "My {item} does not turn on.", "The {item} stopped working after a day.",
        "The {item} makes a strange noise.", "There is a crack in the {item}.", "The {item} gets too hot.",
        "A part of the {item} fell off.", "The {item} has a fault and needs a repair.", "The {item} does not work.",
        "The {item} broke after a week. Can you repair it?", "My {item} is damaged and does not work.",
        "The {item} smells of smoke and gets hot.",
    ),
}  # fmt: skip
HELDOUT: Mapping[str, Sequence[str]] = {
    "delivery": (
        "My parcel with the {item} has not arrived.", "I waited for the courier but the {item} never came.",
        "The {item} is late. Where is it?", "When will the courier come with the {item}?",
    ),
    "return": (
        "The {item} is the wrong size and I want to send it back.", "Can I return the {item}? I do not need it.",
        "I changed my mind and want to return the {item}.", "How do I return the {item}? It does not fit.",
    ),
    "payment": (
        "There are two charges for the {item} on my card.", "The bill for the {item} shows the wrong price.",
        "I paid twice for the {item}. Please check my card.",
        "Please send the receipt and the invoice for the {item}.",
    ),
    "repair": (
        "My {item} is broken and makes a noise.", "The {item} has a crack and does not turn on.",
        "After a week the {item} stopped working.", "The {item} does not work and gets too hot.",
    ),
}  # fmt: skip
_ORDER = (
    "My order is {order}.",
    "Order {order}.",
    "The order number is {order}.",
    "Order number: {order}.",
    "It is order {order}.",
)
_OPEN = ("Hello.", "Hi,", "Good morning.", "Dear team,", "Hello, this is {name}.", "")
_CLOSE = ("Please help.", "Thank you.", "Thanks, {name}", "Best wishes, {name}", "Can you help?", "", "")


@dataclass(frozen=True)
class Complaint:
    """A customer's message: `concern` is a key of WORDINGS, `item` and `order` stand in the text."""

    concern: str
    item: str
    order: str
    text: str


def complaint(draw: Draw, *, items: Sequence[str] = OBJECTS, wordings: Mapping[str, Sequence[str]] = WORDINGS,
              order: str | None = None) -> Complaint:  # fmt: skip
    """A message with one concern, its item and its order number."""
    concern, item, order = draw.one(sorted(wordings)), draw.one(items), order or draw.code()
    name = draw.first_name()
    said = draw.one(wordings[concern]).format(item=item)
    number = draw.one(_ORDER).format(order=order)
    middle = [number, said] if draw.chance(0.3) else [said, number]
    parts = [draw.one(_OPEN).format(name=name), *middle, draw.one(_CLOSE).format(name=name)]
    return Complaint(concern, item, order, " ".join(part for part in parts if part))
