"""How a model reads a text, as pictures: embeddings.png, attention.png, layers.png and output.png."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..protocol.anatomy import Anatomy, State
from .anatomy_screen import shown

MOST = 64
"""Tokens that carry a label in a picture."""


def draw(found: Anatomy, into: Path) -> list[Path]:
    """Writes a picture of each step that `found` has, and returns the files. Needs matplotlib."""
    from matplotlib.figure import Figure

    parts: list[tuple[str, object, Callable[[Any, Anatomy], None]]] = [
        ("embeddings", found.embeddings, _embeddings),
        ("attention", found.attention, _attention),
        ("layers", found.states, _layers),
        ("output", found.output or found.pooled, _output),
    ]
    into.mkdir(parents=True, exist_ok=True)
    files = []
    for name, known, paint in parts:
        if known:
            figure = Figure(figsize=(10, 7), layout="constrained")
            file = into / f"{name}.png"
            with warnings.catch_warnings():  # a character that the font lacks is drawn as a box
                warnings.filterwarnings("ignore", message="Glyph ")
                paint(figure, found)
                figure.savefig(file, dpi=120)
            files.append(file)
    return files


def _embeddings(figure: Any, found: Anatomy) -> None:
    entries = found.embeddings or []
    solid = len(entries[0].point) == 3
    axes = figure.add_subplot(projection="3d" if solid else None)
    axes.scatter(*zip(*(entry.point for entry in entries), strict=True), s=20)
    for entry in entries[:MOST]:
        axes.text(*entry.point, _label(found.tokens[entry.position].token))
    axes.set_title("Embeddings: where each token starts")


def _attention(figure: Any, found: Anatomy) -> None:
    """A map for each layer, its mean over the heads that were asked for."""
    size, by_layer = len(found.tokens), _summed(found)
    across = math.ceil(math.sqrt(len(by_layer)))
    grid = figure.subplots(math.ceil(len(by_layer) / across), across, squeeze=False).flatten()
    for axes in grid[len(by_layer) :]:
        axes.remove()
    labels = [_label(token.token, 8) for token in found.tokens]
    for axes, (layer, weights) in zip(grid, by_layer.items(), strict=False):
        axes.imshow(weights, vmin=0, cmap="viridis")
        axes.set_title(f"layer {layer}")
        if size <= MOST // 2:
            axes.set_xticks(range(size), labels, rotation=90, fontsize=6)
            axes.set_yticks(range(size), labels, fontsize=6)
    figure.suptitle("Attention: what each token (row) takes in from each (column)")


def _summed(found: Anatomy) -> dict[int, list[list[float]]]:
    size = len(found.tokens)
    maps: dict[int, list[list[float]]] = {}
    heads: dict[int, int] = {}
    for part in found.attention or ():
        heads[part.layer] = heads.get(part.layer, 0) + 1
        weights = maps.setdefault(part.layer, [[0.0] * size for _ in range(size)])
        for row in part.rows:
            for place, weight in zip(row.to or range(size), row.weights, strict=False):
                weights[row.position][place] += weight
    return {
        layer: [[weight / heads[layer] for weight in row] for row in weights] for layer, weights in maps.items()
    }


def _layers(figure: Any, found: Anatomy) -> None:
    """Each token's way through the layers, and how far each of them moved it."""
    paths: dict[int, list[State]] = {}
    for state in found.states or ():
        paths.setdefault(state.position, []).append(state)
    ways, steps = figure.subplots(1, 2)
    for position, states in list(paths.items())[:MOST]:
        x, y = [state.point[0] for state in states], [state.point[1] for state in states]
        (line,) = ways.plot(x, y, marker=".", linewidth=1)
        ways.text(x[-1], y[-1], _label(found.tokens[position].token), color=line.get_color())
        layers, moved = [state.layer for state in states], [state.moved for state in states]
        steps.plot(layers, moved, marker=".", color=line.get_color())
    ways.set_title("Each token's way through the layers")
    steps.set_title("How far each layer moved it")
    steps.set_xlabel("layer")


def _output(figure: Any, found: Anatomy) -> None:
    axes = figure.add_subplot()
    if found.output:
        last = found.output[-1]
        bars = [(_label(candidate.token), candidate.probability) for candidate in last.top]
        bars.append(("(all others)", last.rest))
        axes.set_title(
            f"Output: what comes after {_label(found.tokens[last.position].token)}, as probabilities"
        )
    else:
        similarity = found.pooled.similarity if found.pooled else []
        bars = [(_label(token.token), s) for token, s in zip(found.tokens, similarity, strict=True)][:MOST]
        axes.set_title("One vector for the text: how near each token is to it")
    axes.barh(range(len(bars)), [size for _, size in bars])
    axes.set_yticks(range(len(bars)), [label for label, _ in bars])
    axes.invert_yaxis()


def _label(piece: str, most: int = 14) -> str:
    """$ would begin a formula."""
    return shown(piece, most).replace("$", r"\$")
