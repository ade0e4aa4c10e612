"""How a model reads a text, on a terminal: a heading, a line for a newcomer and a picture for each step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle

from rich import box
from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ..protocol.anatomy import Anatomy, AttentionMap, Candidate, Neighbour, Prediction, State

ROWS = 24
"""Tokens that are shown of a long text: the last ones, since a model that writes goes on from there."""
LABEL = 14
_SHADES = " ·░▒▓█"
_HEAT = ("grey23", "#2c3e70", "#3f5fa8", "#2f9e8f", "#8cc84b", "#fde725")
_INKS = ("cyan", "magenta", "green", "yellow", "blue", "red")
_BARS = "▁▂▃▄▅▆▇█"
_MAP = 64, 16


def show_anatomy(found: Anatomy, *, words: Sequence[str], console: Console | None = None) -> None:
    """`words` are those that every token was compared with."""
    out = console or Console(highlight=False)
    shape = found.shape
    out.print(
        Text.assemble(
            (found.model, "bold"),
            f"  {shape.kind}, {shape.layers} layers of {shape.heads} heads, vectors of {shape.width} numbers, "
            f"{shape.vocabulary:,} tokens in the vocabulary",
        )
    )
    for part in (_tokens, _embeddings, _attention, _output):
        part(found, words, out)


def shown(piece: str, most: int = LABEL) -> str:
    """A piece of text in one line of printable characters: · is a space, ↵ a line's end."""
    plain = piece.replace(" ", "·").replace("\n", "↵").replace("\t", "⇥")
    safe = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in plain)
    return safe if len(safe) <= most else safe[: most - 1] + "…"


def _heading(out: Console, number: int, name: str, told: str) -> None:
    out.print()
    out.print(Rule(Text.assemble((f" {number}  {name} ", "bold cyan")), align="left", style="cyan"))
    out.print(Text(told, style="dim"))


def _tokens(found: Anatomy, _words: Sequence[str], out: Console) -> None:
    _heading(
        out,
        1,
        "Tokens",
        "The text is cut into pieces that the model has a number for. It sees the numbers, never the letters.",
    )
    pieces, numbers = Text(), Text()
    inks = cycle(_INKS)
    for token in found.tokens:
        ink = "dim" if token.added else next(inks)
        pieces.append(shown(token.token, 40), style=f"{ink} reverse").append(" ")
        numbers.append(str(token.id), style=ink).append(" ")
    out.print(pieces)
    out.print(numbers)
    size = sum(len(token.bytes) for token in found.tokens) + sum(s.end - s.start for s in found.skipped)
    out.print(Text(f"{len(found.tokens)} tokens for {size} bytes"))


def _embeddings(found: Anatomy, _words: Sequence[str], out: Console) -> None:
    if found.embeddings is None:
        return
    _heading(
        out,
        2,
        "Embeddings",
        "Each number stands for a vector, learnt so that tokens used alike lie close together. "
        "The same token starts as the same vector wherever it stands.",
    )
    table = Table("token", "nearest in the vocabulary", box=box.SIMPLE_HEAD, pad_edge=False)
    seen: set[int] = set()
    for entry in found.embeddings[-ROWS:]:
        token = found.tokens[entry.position]
        if token.id not in seen:
            table.add_row(Text(shown(token.token)), _near(entry.neighbours))
        seen.add(token.id)
    out.print(table)
    points = [(e.point, found.tokens[e.position].token) for e in found.embeddings[-ROWS:]]
    for line in _scatter(points):
        out.print(line)
    out.print(Text("The vectors, flattened onto the two directions in which they differ most.", style="dim"))


def _attention(found: Anatomy, words: Sequence[str], out: Console) -> None:
    if not found.attention or not found.states:
        return
    _heading(
        out,
        3,
        "Attention",
        "In every layer each token takes something in from "
        + ("those before it" if found.shape.kind == "decoder" else "all others")
        + ": the brighter, the more. That is how its vector comes to mean what it means here.",
    )
    maps = found.attention
    for part in [maps[i] for i in sorted({0, len(maps) // 2, len(maps) - 1})]:
        for line in _heat_map(found, part):
            out.print(line)
    by_token: dict[int, list[State]] = {}
    for state in found.states:
        by_token.setdefault(state.position, []).append(state)
    shown_rows = list(by_token.items())[-ROWS:]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("token", "moved per layer", "like its start", "now nearest to"):
        table.add_column(column)
    farthest = max(state.moved for states in by_token.values() for state in states) or 1.0
    for position, states in shown_rows:
        last = states[-1]
        table.add_row(
            Text(shown(found.tokens[position].token)),
            _bars([state.moved / farthest for state in states]),
            _degree(last.similarity_to_start),
            _near(last.nearest),
        )
    out.print(table)
    if words:
        compared = Table("token", box=box.SIMPLE_HEAD, pad_edge=False)
        for word in words:
            compared.add_column(Text(shown(word)))
        for position, states in shown_rows:
            numbers = states[-1].compared or []
            cells = [_degree(n, best=n == max(numbers)) for n in numbers]
            compared.add_row(Text(shown(found.tokens[position].token)), *cells)
        out.print(compared)
        told = f"How alike each token's vector and these words' own are after layer {found.states[-1].layer}."
        out.print(Text(told, style="dim"))


def _output(found: Anatomy, _words: Sequence[str], out: Console) -> None:
    if found.pooled is not None:
        _heading(
            out,
            4,
            "One vector for all",
            "This model doesn't write. The mean of its tokens' last vectors stands for the whole text; texts that "
            "mean the same lie close. How near each token is to it:",
        )
        for token, similarity in list(zip(found.tokens, found.pooled.similarity, strict=True))[-ROWS:]:
            line = Text(f"{shown(token.token):>{LABEL}} ")
            out.print(line.append("█" * round(40 * max(0.0, similarity)), "cyan").append(f" {similarity:.2f}"))
    if not found.output:
        return
    _heading(
        out,
        4,
        "Output",
        "The last vector becomes a score for every token of the vocabulary; softmax turns the scores into "
        "probabilities that add up to 1. One is drawn, put behind the text, and all of it starts again.",
    )
    table = Table(
        "after" if found.shape.kind == "decoder" else "in place of", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("likeliest")
    if found.shape.kind == "decoder":
        table.add_column("what does come")
    for prediction in found.output[-ROWS:]:
        token = found.tokens[prediction.position]
        cells = [Text(shown(token.token)), _likely(prediction.top[:3])]
        if found.shape.kind == "decoder":
            cells.append(_likely([prediction.next]) if prediction.next else Text("?", style="bold"))
        table.add_row(*cells)
    out.print(table)
    _last(found.output[-1], out)


def _last(prediction: Prediction, out: Console) -> None:
    for candidate in prediction.top:
        line = Text(f"{shown(candidate.token):>{LABEL}} ")
        line.append("█" * round(40 * candidate.probability), style="green")
        out.print(line.append(f" {candidate.probability:.1%}  score {candidate.logit:.2f}"))
    out.print(Text(f"{'all others':>{LABEL}} {prediction.rest:.1%}", style="dim"))
    if prediction.lens:
        out.print(Text("\nWhat it would have said after each layer:", style="dim"))
        for lens in prediction.lens:
            out.print(Text(f"{f'layer {lens.layer}':>{LABEL}} ").append_text(_likely(lens.top[:3])))


def _heat_map(found: Anatomy, part: AttentionMap) -> Iterator[Text]:
    """Rows take in, columns give; a column's token is named by the row of the same number."""
    count = len(found.tokens)
    columns = range(max(0, count - ROWS), count)
    head = "mean of all heads" if part.head is None else f"head {part.head}"
    yield Text(f"\n{'':>{LABEL}}     layer {part.layer}, {head}", style="bold")
    yield Text(" " * (LABEL + 5) + "".join(f"{column:>3}" for column in columns), style="dim")
    for row in part.rows:
        if row.position not in columns:
            continue
        weights = dict(enumerate(row.weights) if row.to is None else zip(row.to, row.weights, strict=True))
        line = Text(f"{shown(found.tokens[row.position].token):>{LABEL}} {row.position:>3} ")
        for column in columns:
            weight = weights.get(column, 0.0)
            shade = min(len(_SHADES) - 1, round((len(_SHADES) - 1) * weight**0.5))
            line.append(" " + _SHADES[shade] * 2, style=_HEAT[shade])
        yield line


def _scatter(points: Sequence[tuple[Sequence[float], str]]) -> Iterator[Text]:
    """Labels where there is room for them; one that would cover another is left out."""
    width, height = _MAP
    across = [point[0] for point, _ in points]
    up = [point[1] for point, _ in points]
    rows = [[" "] * width for _ in range(height)]
    inks: list[dict[int, str]] = [{} for _ in range(height)]
    for number, (x, y) in enumerate(zip(across, up, strict=True)):
        label = shown(points[number][1], 12)
        column = round((x - min(across)) / ((max(across) - min(across)) or 1) * (width - len(label)))
        row = round((max(up) - y) / ((max(up) - min(up)) or 1) * (height - 1))
        if all(rows[row][c] == " " for c in range(max(0, column - 1), min(width, column + len(label) + 1))):
            rows[row][column : column + len(label)] = label
            inks[row].update(dict.fromkeys(range(column, column + len(label)), _INKS[number % len(_INKS)]))
    for characters, ink in zip(rows, inks, strict=True):
        line = Text("  │", style="dim")
        for column, character in enumerate(characters):
            line.append(character, style=ink.get(column, ""))
        yield line
    yield Text("  └" + "─" * width, style="dim")


def _bars(shares: Sequence[float]) -> Text:
    line = Text()
    for share in shares:
        line.append(_BARS[min(7, int(share * 8))], style=_HEAT[1 + min(4, int(share * 5))])
    return line


def _degree(similarity: float, *, best: bool = False) -> Text:
    shade = 1 + min(4, int(max(0.0, similarity) * 5))
    return Text(f"{similarity:.2f}", style=f"bold {_HEAT[shade]}" if best else _HEAT[shade])


def _near(neighbours: Sequence[Neighbour]) -> Text:
    line = Text()
    for neighbour in neighbours[:3]:
        line.append(shown(neighbour.token)).append(f" {neighbour.similarity:.2f}  ", style="dim")
    return line


def _likely(candidates: Sequence[Candidate]) -> Text:
    line = Text()
    for candidate in candidates:
        line.append(shown(candidate.token), style="bold").append(f" {candidate.probability:.1%}  ", style="dim")
    return line
