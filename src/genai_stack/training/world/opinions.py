"""Reviews with a sentiment, built from parts so that the words carry the label and the names don't."""

from __future__ import annotations

from .facts import with_articles
from .names import OBJECTS, Draw

GOOD = (
    "It works very well.",
    "I love it.",
    "It is excellent.",
    "I am very happy with it.",
    "Great quality.",
    "It was a wonderful surprise.",
    "I would buy it again.",
    "The best I have had.",
    "Everyone was friendly.",
    "It arrived early and looks beautiful.",
    "Perfect for my needs.",
    "I recommend it to everyone.",
)
BAD = (
    "It broke after a day.",
    "I hate it.",
    "It is terrible.",
    "I am very unhappy with it.",
    "Poor quality.",
    "It was a bad surprise.",
    "I want my money back.",
    "The worst I have had.",
    "Nobody was friendly.",
    "It arrived late and looks dirty.",
    "It is useless.",
    "I would never buy it again.",
    "A waste of money.",
)
PLAIN = (
    "It is a normal one.",
    "It came in a box.",
    "It is neither good nor bad.",
    "It does what it says.",
    "It is average.",
    "I have no strong opinion.",
    "It is okay.",
    "It has two parts.",
    "I use it now and then.",
)
OPENINGS = (
    "I bought the {item} from {company}.",
    "I got {product}, a {item}.",
    "My {item} came on {day}.",
    "This is about the {item}.",
    "{name} gave me a {item}.",
    "We tried {product} last week.",
    "The {item} is from {company}.",
)
LABELS = {"positive": GOOD, "negative": BAD, "neutral": PLAIN}


def review(draw: Draw, label: str) -> str:
    """Two or three sentences whose sentiment is `label`: positive, negative or neutral."""
    opening = with_articles(
        draw.one(OPENINGS).format(
            item=draw.one(OBJECTS),
            company=draw.company(),
            product=draw.product(),
            day=draw.date(),
            name=draw.first_name(),
        )
    )
    verdicts = draw.some(LABELS[label], draw.number(1, 2))
    parts = [opening, *verdicts] if draw.chance(0.8) else verdicts
    return " ".join(parts)
