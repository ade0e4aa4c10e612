"""The file_search tool: the passages for a question, from one or more vector stores, before the model is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...errors import GenAIStackError, NotFound
from ...protocol.items import FoundText
from ...protocol.responses import FileSearchTool, ResponseRequest
from ...protocol.stores import QUERY_CHARACTERS, RankingOptions, SearchRequest
from ..resources.searching import RESULTS, Searching


class Retrieved(NamedTuple):
    """Best first."""

    query: str
    passages: list[FoundText]


def store_absent() -> NotFound:
    return NotFound(
        "There are no vector stores here, so 'file_search' can't search; leave it out of 'tools'.",
        code="no_vector_stores",
        param="tools",
    )


async def retrieve(
    searching: Searching,
    tenant: str,
    request: ResponseRequest,
    tool: FileSearchTool,
    question: str,
    *,
    wait: float | None,
    read: Callable[[str, int], None],
) -> Retrieved:
    """`read` is told after each search which model read how many tokens for it. Raises NotFound, which names the tool's
    stores, and what a search raises."""
    query, most = question[:QUERY_CHARACTERS], tool.max_num_results or RESULTS
    options = tool.ranking_options
    ranking = RankingOptions(score_threshold=(options.score_threshold or 0.0) if options else 0.0)
    found: list[FoundText] = []
    place = (request.tools or []).index(tool)
    for number, store in enumerate(dict.fromkeys(tool.vector_store_ids)):
        asked = SearchRequest(query, tool.filters, most, ranking)
        try:
            page, model, tokens = await searching.search(tenant, store, asked, wait=wait)
        except NotFound as error:
            if error.code == NotFound.code:
                error.param = f"tools[{place}].vector_store_ids[{number}]"
            raise
        except GenAIStackError as error:
            error.param = error.param and f"tools[{place}].{error.param}"
            raise
        read(model, tokens)
        found += [
            FoundText(hit.file_id, hit.filename, hit.score, hit.content[0].text, hit.attributes)
            for hit in page.data
        ]
    best: dict[tuple[str, str], FoundText] = {}
    for one in sorted(found, key=lambda one: -one.score):
        best.setdefault((one.file_id, one.text), one)
    return Retrieved(query, list(best.values())[:most])
