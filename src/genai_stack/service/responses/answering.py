"""From a request for a response to its run: who may ask, what it goes on from, what it may take, what is found."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import msgspec

from ...errors import RequestError
from ...ports import ModelHost, ModelVersion
from ...protocol import ChatRequest, decode
from ...protocol.items import REFERENCE, Item, kind_of
from ...protocol.responses import ChooseFileSearch, Response, ResponseRequest
from ..catalogue import Catalogue
from ..charging import Charges
from ..exchange import Exchange
from ..limits import Admission, Limiter
from ..prices import Prices
from ..principal import Principal
from ..resources.searching import Searching
from .prompt import chat_body, last_question, translated
from .responses import Responses
from .retrieving import Retrieved, retrieve, store_absent
from .run import Run, prepared


class Asked(NamedTuple):
    """A request that may be answered. `items` is all that the model gets to see, `given` the request's own of it."""

    by: Principal
    request: ResponseRequest
    version: ModelVersion
    given: list[Item]
    items: list[Item]


class Answering:
    def __init__(
        self,
        models: ModelHost,
        catalogue: Catalogue,
        limiter: Limiter,
        prices: Prices,
        charges: Charges,
        responses: Responses,
        searching: Searching | None,
    ) -> None:
        self._models, self._catalogue, self._limiter, self._prices = models, catalogue, limiter, prices
        self._charges, self._responses, self._searching = charges, responses, searching

    async def allowed(self, exchange: Exchange, by: Principal, request: ResponseRequest) -> ModelVersion:
        """The model. Raises Forbidden, NotFound, RequestError."""
        by.check_model(request.model)
        if request.file_search is not None:
            by.check_scope("files")
            if self._searching is None:
                raise store_absent()
        version = await self._catalogue.find_for(request.model, "chat")
        exchange.model, exchange.base = version.name, version.base
        return version

    async def asked(
        self,
        exchange: Exchange,
        by: Principal,
        request: ResponseRequest,
        version: ModelVersion,
        id: str,
    ) -> Asked:
        """What makes the response `id`, admitted by the key's limits: by itself first, and then with what it refers to
        and goes on from. Raises NotFound, RequestError, Overloaded, OutOfBudget."""
        price = self._prices.of(version.name, version.base)
        await self._limiter.admit(exchange, by, request, len(msgspec.json.encode(request.items)), price)
        asks_store = any(kind_of(item) == REFERENCE for item in request.items)
        told = by.tenant, id, request.items, request.conversation_id
        find = self._responses.given
        given = await asyncio.to_thread(find, *told) if asks_store else find(*told)
        before = await asyncio.to_thread(
            self._responses.history, by.tenant, request.previous_response_id, request.conversation_id
        )
        items = [*before, *given]
        if not items:
            raise RequestError(
                "There is nothing to answer; send 'input'.", param="input", code="missing_required_parameter"
            )
        if isinstance(request.tool_choice, ChooseFileSearch) and not last_question(items):
            raise RequestError(
                "'file_search' looks for the text of the last user message, and there is none; send one.",
                param="input",
                code="invalid_value",
            )
        try:
            body = msgspec.json.encode(chat_body(request, items, ()))
            chat = decode(ChatRequest, body)
        except RequestError as error:
            raise translated(error, request) from error
        await self._limiter.widen(exchange, chat, len(body), price)
        return Asked(by, request, version, given, items)

    async def run(
        self, asked: Asked, response: Response, admission: Admission | None, *, wait: float | None
    ) -> Run:
        """The search is charged to `admission` once it is made. Raises NotFound for a vector store, RequestError, and
        what the model's host does."""
        began = time.perf_counter()

        def read(model: str, tokens: int) -> None:
            self._charges.search(
                what=response.id,
                by=asked.by,
                admission=admission,
                model=model,
                tokens=tokens,
                seconds=time.perf_counter() - began,
            )

        found: Retrieved | None = None
        tool, question = asked.request.file_search, last_question(asked.items)
        if tool is not None and question:
            if self._searching is None:
                raise store_absent()
            found = await retrieve(
                self._searching, asked.by.tenant, asked.request, tool, question, wait=wait, read=read
            )
        ready = await prepared(self._models, asked.version, asked.request, asked.items, found, wait=wait)
        return Run(asked.request, response, ready)
