"""On which line of a TOML document each key stands. tomllib checks and parses; this only says where."""

from __future__ import annotations

import re
from collections.abc import Iterator

TomlPath = tuple[str | int, ...]

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|'
    r"'''.*?'{3,5}|"
    r'"(?:\\.|[^"\\\n])*"|'
    r"'[^'\n]*'|#[^\n]*|[\[\]{}]|\n",
    re.DOTALL,
)
_PART = re.compile(r'"((?:\\.|[^"\\])*)"|' + r"'([^']*)'|([A-Za-z0-9_-]+)")


def lines_by_path(text: str) -> dict[TomlPath, int]:
    """The 1-based line of every table and key outside inline tables. `text` must be valid TOML."""
    lines: dict[TomlPath, int] = {}
    counts: dict[TomlPath, int] = {}
    table: TomlPath = ()
    for line, statement in _statements(text):
        if statement.startswith("[["):
            table = _within(_keys(statement[2:]), counts)
            counts[table] = counts.get(table, -1) + 1
            table = (*table, counts[table])
            lines.setdefault(table, line)
        elif statement.startswith("["):
            table = _within(_keys(statement[1:]), counts)
            lines.setdefault(table, line)
        else:
            keys = _keys(statement)
            for end in range(1, len(keys) + 1):
                lines.setdefault((*table, *keys[:end]), line)
    return lines


def line_of(lines: dict[TomlPath, int], path: TomlPath) -> int | None:
    """The line of `path`, or of the nearest thing around it that has one."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return None


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement and the line it starts on; a value that spans lines belongs to its statement."""
    line, start_line, start, depth = 1, 1, 0, 0
    for token in _TOKEN.finditer(text + "\n"):
        kind = token[0]
        if kind in "[{":
            depth += 1
        elif kind in "]}":
            depth -= 1
        elif kind == "\n" and depth == 0:
            statement = text[start : token.start()].strip()
            if statement and not statement.startswith("#"):
                yield start_line, statement
            start, start_line = token.end(), line + 1
        line += kind.count("\n")


def _keys(statement: str) -> TomlPath:
    """The dotted key a statement starts with."""
    import tomllib

    keys: list[str | int] = []
    position = 0
    while part := _PART.match(statement, position):
        escaped, literal, bare = part.groups()
        keys.append(
            tomllib.loads(f'key = "{escaped}"')["key"] if escaped is not None else literal or bare or ""
        )
        dot = re.compile(r"\s*\.\s*").match(statement, part.end())
        if not dot:
            break
        position = dot.end()
    return tuple(keys)


def _within(keys: TomlPath, counts: dict[TomlPath, int]) -> TomlPath:
    """`keys` with the index of the element in force after each array of tables on the way."""
    path: TomlPath = ()
    for key in keys[:-1]:
        path = (*path, key)
        if path in counts:
            path = (*path, counts[path])
    return (*path, *keys[-1:])
