"""Short instructions that teach copying, listing, counting and form, with words and made-up names."""

from __future__ import annotations

from .facts import with_articles
from .glossary import ABOUT, OUTSIDE, UNKNOWN
from .names import ANIMALS, COLOURS, FOODS, FRUITS, NUMBER_WORDS, OBJECTS, WORDS, Draw
from .routes import Chat, assistant, user
from .system_turns import with_system

_SETS = {"animals": ANIMALS, "fruits": FRUITS, "colours": COLOURS, "foods": FOODS, "objects": OBJECTS}


def _token(draw: Draw) -> str:
    """Something to copy: a word, a name, a code."""
    make = draw.random.choice(
        (lambda d: d.one(WORDS), Draw.first_name, Draw.place, Draw.company, Draw.code, Draw.person)
    )
    return str(make(draw))


def repeat(draw: Draw) -> Chat:
    text = " ".join(_token(draw) for _ in range(draw.number(1, 10)))
    if draw.chance(0.15):
        times = draw.number(2, 5)
        said = draw.one(("{n} times", "{w} times")).format(n=times, w=NUMBER_WORDS[times])
        text = _token(draw)
        return [user(f"Repeat {text} {said}."), assistant(" ".join([text] * times))]
    ask = draw.one(
        (
            "Repeat: {}",
            "Repeat the word {}.",
            "Say {}.",
            "Repeat after me: {}",
            "Write {}.",
            "Copy this: {}",
            "Say exactly: {}",
            'Repeat "{}".',
            "Please repeat: {}",
            "Reply with {}.",
            "Echo: {}",
        )
    )
    return with_system(draw, [user(ask.format(text)), assistant(text)])


def copy(draw: Draw) -> Chat:
    """A long line of words, names, numbers and letters, said again: the plainest lesson in copying."""
    items = [_token(draw) if draw.chance(0.8) else _letters(draw) for _ in range(draw.number(4, 18))]
    text = draw.one((" ", ", ", "\n", " ", " / ")).join(items)
    ask = draw.one(
        ("Repeat: {}", "Copy this: {}", "Say exactly: {}", "Repeat after me: {}", "{}\n\nRepeat this.")
    )
    return [user(ask.format(text)), assistant(text)]


def _letters(draw: Draw) -> str:
    return "".join(draw.one("abcdefghijklmnopqrstuvwxyz") for _ in range(draw.number(2, 6)))


def lookup(draw: Draw) -> Chat:
    """Keys with values, and several questions on them, each answered by the value."""
    keys = (
        draw.some(WORDS, draw.number(2, 8))
        if draw.chance(0.5)
        else [_token(draw) for _ in range(draw.number(2, 7))]
    )
    table = {key: _token(draw) for key in keys}
    joint, between = draw.one((": ", " = ", " is ")), draw.one(("\n", ", ", "; "))
    told = between.join(key + joint + value for key, value in table.items())
    ask = draw.one(("{}?", "What is {}?", "{}"))
    asked = draw.some(list(table), draw.number(1, len(table)))
    chat = [user(f"{told}\n\n{ask.format(asked[0])}"), assistant(table[asked[0]])]
    for key in asked[1:]:
        chat += [user(ask.format(key)), assistant(table[key])]
    return with_system(draw, chat, share=0.1)


def listing(draw: Draw) -> Chat:
    name = draw.one(sorted(_SETS))
    count = draw.number(2, 5)
    said = draw.one((str(count), NUMBER_WORDS[count]))
    items = draw.some(_SETS[name], count)
    if draw.chance(0.5):
        ask = draw.one(("Name {} {}.", "List {} {}.", "Give me {} {}.", "Write {} {}.", "Can you name {} {}?"))
        return with_system(draw, [user(ask.format(said, name)), assistant(", ".join(items))])
    given = [_token(draw) for _ in range(count)]
    ask = draw.one(("Write as a list: {}", "Make a list of {}.", "Put each on a line: {}"))
    return with_system(
        draw, [user(ask.format(", ".join(given))), assistant("\n".join(f"- {item}" for item in given))]
    )


def count_up(draw: Draw) -> Chat:
    last = draw.number(2, 12)
    said = draw.one((str(last), NUMBER_WORDS[last]))
    if draw.chance(0.7):
        ask = draw.one(
            ("Count to {}.", "Count from 1 to {}.", "Count from one to {}.", "Write the numbers 1 to {}.")
        )
        return with_system(
            draw, [user(ask.format(said)), assistant(" ".join(str(n) for n in range(1, last + 1)))]
        )
    items = [draw.one(WORDS) for _ in range(draw.number(1, 6))]
    ask = draw.one(("How many words are here: {}?", "Count the words: {}"))
    return [user(ask.format(" ".join(items))), assistant(str(len(items)))]


def shape(draw: Draw) -> Chat:
    """Upper case, lower case, the first or last word, a word in quotes, a small sum."""
    words = [draw.one(WORDS) for _ in range(draw.number(2, 5))]
    text = " ".join(words)
    choice = draw.number(0, 6)
    if choice == 0:
        short = draw.one((words[0], text))
        ask = draw.one(
            ("Write {} in capital letters.", "Upper-case: {}", "Make this upper case: {}", "Shout {}.")
        )
        answer = short.upper()
        text = short
    elif choice == 1:
        ask, answer, text = "Write {} in lower case.", text, text.upper()
    elif choice == 2:
        ask, answer = draw.one(("What is the first word of: {}", "First word of {}?")), words[0]
    elif choice == 3:
        ask, answer = draw.one(("What is the last word of: {}", "Last word of {}?")), words[-1]
    elif choice == 4:
        ask, answer = draw.one(("Put {} in quotes.", "Write {} in quotes.")), f'"{text}"'
    elif choice == 5:
        a, b = draw.number(0, 10), draw.number(0, 10)
        ask, answer = draw.one(("What is {}?", "{} = ?", "How much is {}?")), str(a + b)
        text = f"{a} + {b}"
    else:
        sort = draw.one(sorted(_SETS))
        text = draw.one(_SETS[sort])
        ask, answer = "Is {} one of the " + sort + "?", "Yes."
        if draw.chance(0.5):
            other = draw.one([name for name in sorted(_SETS) if name != sort])
            text = draw.one(_SETS[other])
            answer = "Yes." if text in _SETS[sort] else "No."
    return with_system(draw, [user(ask.format(text)), assistant(answer)])


def recall(draw: Draw) -> Chat:
    """Something said earlier in the conversation is asked for later."""
    name, thing, colour = draw.first_name(), draw.one(ANIMALS), draw.one(COLOURS)
    facts = [
        (
            f"My name is {name}.",
            f"Hello, {name}!",
            ("What is my name?", "Who am I?", "Do you know my name?"),
            name,
        ),
        (
            f"I like the colour {colour}.",
            "That is a nice colour.",
            ("Which colour do I like?", "What colour do I like?"),
            colour,
        ),
        (
            with_articles(f"I have a {thing}."),
            "That is nice.",
            ("Which animal do I have?", "What animal do I have?"),
            thing,
        ),
    ]
    chosen = draw.random.sample(facts, draw.number(1, 3))
    chat: Chat = []
    for said, reply, _, _ in chosen:
        chat += [user(said), assistant(reply)]
    for _, _, asks, answer in draw.random.sample(chosen, draw.number(1, len(chosen))):
        chat += [user(draw.one(asks)), assistant(answer[0].upper() + answer[1:] + ".")]
    return with_system(draw, chat)


def talk(draw: Draw) -> Chat:
    """Greetings, what the model is, and honest ignorance."""
    chat: Chat = []
    for _ in range(1 if draw.chance(0.7) else draw.number(2, 3)):
        chance = draw.random.random()
        if chance < 0.85:
            ask, answer = ABOUT[draw.number(0, len(ABOUT) - 1)]
        else:
            ask, answer = draw.one(OUTSIDE), UNKNOWN
        if draw.chance(0.1):
            ask = ask[0].lower() + ask[1:].rstrip("?.!")
        chat += [user(ask), assistant(answer)]
    return with_system(draw, chat)
