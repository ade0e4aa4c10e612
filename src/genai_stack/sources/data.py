"""Where training data comes from: a source string to the files that hold it, in name order.

A source is a file, a directory, or the beginning of file names in one: locally, as `s3://bucket/path`, or as
`hf://datasets/org/name[@revision][/path]`. Of a directory, its own *.jsonl or *.parquet files are taken; never both,
and never the splits of a data set together, for a model must not learn what it is tested on.
"""

from __future__ import annotations

import re
import stat
from glob import escape
from pathlib import Path
from urllib.parse import unquote

from ..errors import GenAIStackError, InvalidData, ObjectNotFound, RequestError
from ..ports import ObjectInfo, ObjectStore
from .hub import commit, snapshot
from .store import fetch, locate, one, under

SUFFIXES = (".jsonl", ".parquet")
_HF = re.compile(
    r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)"
    r"(?:@(?P<revision>refs/(?:convert/\w+|pr/\d+)|[^/@]+))?(?:/(?P<path>.+))?"
)
_SPLIT = re.compile(r"(train|test|valid|validation|val|dev|eval)(?![a-z])", re.IGNORECASE)
_HELD = {"valid": "validation", "val": "validation", "dev": "validation", "eval": "validation"}


def data_files(source: str | Path) -> list[Path]:
    """Local files of the data that `source` names; what is remote is fetched first, and kept. None of them is opened.
    Raises InvalidData when there is nothing, or no telling what is meant."""
    text = str(source)
    if text.startswith("s3://"):
        return _stored(text)
    if text.startswith("hf://"):
        return _published(text)
    if "://" in text:
        raise InvalidData(f"{text}: give a file, a directory, s3://bucket/path or hf://datasets/org/name")
    return _local(Path(source).expanduser(), text)


def objects(source: str) -> tuple[ObjectStore, dict[str, ObjectInfo]]:
    """The objects of the data that `s3://bucket/path` names, by file name, and their store: the object of that key,
    else what is directly under it, else what begins with it. Raises InvalidData."""
    store, key = locate(source)
    folder, _, last = key.rpartition("/")
    found = {} if source.endswith("/") else one(store, key)
    if not found:
        found, last = under(store, key, key), ""
    if not found:
        folder, _, last = key.rpartition("/")
        found = under(store, key, folder)
    return store, {name: found[name] for name in choose(list(found), last, source)}


def pinned(source: str) -> str:
    """`hf://datasets/…` at the commit that it stands for now, so that it names the same data ever after. Raises
    InvalidData."""
    match = _of_hub(source)
    revision = unquote(match["revision"]) if match["revision"] else None
    try:
        at = commit(match["repo"], revision, "dataset")
    except GenAIStackError as error:
        raise InvalidData(f"{source}: {error.message}") from error
    path = f"/{match['path']}" if match["path"] else ""
    return f"hf://datasets/{match['repo']}@{at}{path}"


def _of_hub(source: str) -> re.Match[str]:
    match = _HF.fullmatch(source)
    if match is None or ".." in (match["path"] or "").split("/"):
        raise InvalidData(f"{source}: isn't of the form hf://datasets/org/name[@revision][/path]")
    return match


def _local(path: Path, source: str) -> list[Path]:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return [path / name for name in choose(_names(path), "", source)]
        if stat.S_ISREG(mode):
            return [path]
    except FileNotFoundError:
        if path.parent.is_dir() and (names := _names(path.parent)) and path.name:
            begun = [name for name in names if name.startswith(path.name) and name.endswith(SUFFIXES)]
            if begun:
                return [path.parent / name for name in choose(names, path.name, source)]
        raise InvalidData(
            f"{source}: No such file; give a JSONL or Parquet file, or a directory of them"
        ) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidData(f"{source}: {why}; give a JSONL or Parquet file, or a directory of them") from None
    raise InvalidData(f"{source}: is neither a file nor a directory; write the data into a file first")


def _names(directory: Path) -> list[str]:
    return [entry.name for entry in directory.iterdir() if entry.is_file()]


def choose(names: list[str], beginning: str, source: str) -> list[str]:
    """Those of `names` that `source` means, sorted: the one named `beginning`, else those that begin so. Names with a
    slash are of other directories. Raises InvalidData."""
    if beginning in names:
        return [beginning]
    here = sorted(n for n in names if "/" not in n and not n.startswith(".") and n.startswith(beginning))
    chosen = [name for name in here if name.endswith(SUFFIXES)]
    if not chosen:
        inside = sorted({n.rpartition("/")[0] for n in names if "/" in n and n.endswith(SUFFIXES)})
        more = f"; there are some in {', '.join(inside[:8])}" if inside else ""
        other = f" (only {', '.join(here[:4])})" if here else ""
        raise InvalidData(f"{source}: holds no *.jsonl and no *.parquet{other}{more}; name where they are")
    if len({name.rpartition(".")[2] for name in chosen}) > 1:
        raise InvalidData(f"{source}: holds both *.jsonl and *.parquet; keep each in a directory of its own")
    splits = {hit[1].lower(): name for name in chosen if (hit := _SPLIT.match(name))}
    if len({_HELD.get(split, split) for split in splits}) > 1:
        raise InvalidData(
            f"{source}: holds splits that aren't learned together ({', '.join(sorted(splits.values()))}); "
            "name the file, or what its files' names begin with"
        )
    return chosen


def _stored(source: str) -> list[Path]:
    store, chosen = objects(source)
    try:
        directory = fetch(store, chosen)
    except (ObjectNotFound, RequestError) as error:
        raise InvalidData(f"{source}: {error.message}") from error
    return [directory / name for name in chosen]


def _published(source: str) -> list[Path]:
    """From the hub, or its cache on this machine."""
    match = _of_hub(source)
    path = (match["path"] or "").strip("/")
    folder, _, last = path.rpartition("/")
    patterns = [f"*{suffix}" for suffix in SUFFIXES]
    if path:
        patterns = [f"{escape(path)}*{suffix}" for suffix in SUFFIXES] + [escape(path)]
    revision = unquote(match["revision"]) if match["revision"] else None
    try:
        root = snapshot(match["repo"], revision, patterns, "dataset")
    except GenAIStackError as error:
        raise InvalidData(f"{source}: {error.message}") from error
    if (root / path).is_dir():
        folder, last = path, ""
    under = root / folder
    if not under.is_dir():
        raise InvalidData(f"{source}: has no {path}; look at the data set's files on the hub")
    found = (p for p in under.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES))
    names = [str(p.relative_to(under)) for p in found]
    return [under / name for name in choose(names, last, source)]
