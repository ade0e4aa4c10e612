"""Reviews with a sentiment, built from parts so that the words carry the label and the names don't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .facts import with_articles
from .names import OBJECTS, Draw

GOOD = (
    "It works very well.", "I love it.", "It is excellent.", "I am very happy with it.", "Great quality.",
    "It was a wonderful surprise.", "I would buy it again.", "The best I have had.", "Everyone was friendly.",
    "It arrived early and looks beautiful.", "Perfect for my needs.", "I recommend it to everyone.",
    "I like it a lot.",
    "It is a great help.", "It makes me happy.", "What a beautiful thing.", "It is fast and good.",
    "It is wonderful.",
    "My family loves it.", "It was worth the money.", "I am glad that I bought it.",
    "I love it and I would buy it again.", "It is a beautiful thing of great quality.",
    "I am happy. It works very well.",
)  # fmt: skip
BAD = (
    "It broke after a day.", "I hate it.", "It is terrible.", "I am very unhappy with it.", "Poor quality.",
    "It was a bad surprise.", "I want my money back.", "The worst I have had.", "Nobody was friendly.",
    "It arrived late and looks dirty.", "It is useless.", "I would never buy it again.", "A waste of money.",
    "I do not like it.", "It does not work.", "It makes me angry.", "What an ugly thing.", "It is slow and bad.",
    "It is awful.", "My family hates it.", "I am sorry that I bought it.",
    "I hate it and I would never buy it again.", "It is an ugly thing of poor quality.",
    "I am unhappy. It does not work.",
)  # fmt: skip
PLAIN = (
    "It is a normal one.", "It came in a box.", "It is neither good nor bad.", "It does what it says.",
    "It is average.",
    "I have no strong opinion.", "It is okay.", "It has two parts.", "I use it now and then.",
    "It stands in the kitchen.",
    "It is for the office.", "It comes with a cable.", "It is as I expected.", "It has a handle.",
    "I use it at work.",
    "It is one of many.", "It lies on the table.", "It is neither fast nor slow.", "I have had it for a week.",
    "It weighs two kilos.", "It is like any other one.",
    "It is average, neither good nor bad.", "I use it in the kitchen now and then.",
    "It is a normal one with two parts.",
)  # fmt: skip
OPENINGS = (
    "I bought the {item} from {company}.", "I got {product}, a {item}.", "My {item} came on {day}.",
    "This is about the {item}.", "{name} gave me a {item}.", "We tried {product} last week.",
    "The {item} is from {company}.", "I have a {item} from {company}.", "We bought a {item} called {product}.",
    "{name} bought the {item}.", "I got the {item} on {day}.",
)  # fmt: skip
LABELS: Mapping[str, Sequence[str]] = {"positive": GOOD, "negative": BAD, "neutral": PLAIN}


def review(draw: Draw, label: str) -> str:
    """One to three sentences whose sentiment is `label`: positive, negative or neutral."""
    opening = with_articles(
        draw.wording(OPENINGS).format(
            item=draw.one(OBJECTS),
            company=draw.company(),
            product=draw.product(),
            day=draw.date(),
            name=draw.first_name(),
        )
    )
    verdicts = [draw.wording(LABELS[label])]
    if draw.chance(0.5):
        second = draw.wording(LABELS[label])
        verdicts += [second] if second not in verdicts else []
    return " ".join([opening, *verdicts] if draw.chance(0.75) else verdicts)
