"""What a question is answered from: passages, documents, or what a vector store finds, in chunks."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec

from ..protocol.stores import SearchRequest, SearchResult
from ..protocol.tasks import AnswerRequest
from .cutting import spans

CHUNK = 1200
"""Characters of a chunk, at most."""
_WORD = re.compile(r"\w+")
_COMMON = frozenset(
    "a an the of in on at to for from by with and or is are was were be been it its this that these those as not no "
    "do does did has have had what which who whom whose when where why how many much there their they he she his her i "
    "you we us our your can will would should".split()
)
Search = Callable[[str, SearchRequest], Awaitable[list[SearchResult]]]
"""What the vector store of that id finds."""


class Chunk(msgspec.Struct, frozen=True):
    """`text` is the characters [start, end) of its source."""

    text: str
    start: int
    end: int
    index: int | None = None
    id: str | None = None
    file_id: str | None = None
    filename: str | None = None


async def chunks(request: AnswerRequest, query: str, search: Search | None) -> list[Chunk]:
    """In the order of their sources, those that a vector store finds for `query` best first."""
    if request.vector_store_id is not None:
        assert search is not None, "the caller refuses a vector store where there is no search"
        asked = SearchRequest(query=query, filters=request.filters, max_num_results=request.max_num_results)
        return [piece for hit in await search(request.vector_store_id, asked) for piece in _of_hit(hit)]
    found = []
    texts: list[tuple[str, str | None]] = [(text, None) for text in request.passages or ()]
    texts += [(document.text, document.id) for document in request.documents or ()]
    for index, (text, id) in enumerate(texts):
        for start, end in spans(text, CHUNK):
            found.append(Chunk(text[start:end], start, end, index, id))
    return found


def _of_hit(hit: SearchResult) -> Iterable[Chunk]:
    for content, (begin, _) in zip(hit.content, hit.spans, strict=True):
        for start, end in spans(content.text, CHUNK):
            yield Chunk(
                content.text[start:end], begin + start, begin + end, file_id=hit.file_id, filename=hit.filename
            )


def words(text: str) -> list[str]:
    """Its words, without those that every text has."""
    return [word for word in _WORD.findall(text.casefold()) if word not in _COMMON]


def rarity(texts: Sequence[set[str]]) -> dict[str, float]:
    """How much each word tells one of the texts from the others (inverse document frequency)."""
    counts = Counter(word for text in texts for word in text)
    return {word: math.log(1.0 + len(texts) / count) for word, count in counts.items()}


def by_relevance(question: str, found: Sequence[Chunk]) -> list[Chunk]:
    """Those with the question's rarest words first; equals stay in their order."""
    asked = set(words(question))
    told = [set(words(chunk.text)) for chunk in found]
    weights = rarity(told)
    scores = [sum(weights[word] for word in asked & text) for text in told]
    order = sorted(range(len(found)), key=lambda at: -scores[at])
    return [found[at] for at in order]


def groups(found: Sequence[Chunk], parts: int) -> list[list[Chunk]]:
    """The chunks in their order, as `parts` groups of about the same length; each has one at least."""
    size = sum(len(chunk.text) for chunk in found) / parts
    made: list[list[Chunk]] = []
    room = 0.0
    for chunk in found:
        if not made or room < len(chunk.text) / 2:
            made.append([])
            room = size
        made[-1].append(chunk)
        room -= len(chunk.text)
    return made
