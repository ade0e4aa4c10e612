"""/v1/fine_tuning/jobs: create, list, retrieve, cancel, pause, resume, events, checkpoints."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import msgspec

from ...protocol.decoding import decode
from ...protocol.tuning import TuningCheckpointList, TuningEventList, TuningJobList, TuningRequest
from .. import intake
from ..exchange import Exchange, Handler
from ..limits import Limiter
from .asked import idempotency_key, page, path_id, principal, query, tenant
from .tuning import Tuning
from .tuning_records import StoredTuning

_FILTER = re.compile(r"metadata\[([^\[\]]{1,64})\]")


def routes(tuning: Tuning, limiter: Limiter, max_body_bytes: int) -> dict[str, dict[str, Handler]]:
    async def create(exchange: Exchange) -> None:
        request = decode(TuningRequest, await intake.body(exchange, max_body_bytes))
        key, by = idempotency_key(exchange), principal(exchange)
        await limiter.check(by)
        by.check_model(request.model)
        await _show(exchange, await asyncio.to_thread(tuning.create, by.tenant, request, key, by.id))

    async def list_(exchange: Exchange) -> None:
        given = query(exchange, "after", "limit", "metadata", pattern=_FILTER)
        asked, owner = page(given, default=20, most=100), tenant(exchange)
        found = await asyncio.to_thread(tuning.page, owner, asked, _keep(given))
        shown = [job.shown(owner) for job in found.items]
        await exchange.answer(200, msgspec.json.encode(TuningJobList(shown, found.has_more)))

    async def show(exchange: Exchange) -> None:
        await _show(exchange, await asyncio.to_thread(tuning.get, tenant(exchange), path_id(exchange)))

    def ordering(order: Callable[[str, str], StoredTuning]) -> Handler:
        async def handle(exchange: Exchange) -> None:
            await intake.body(exchange, max_body_bytes)
            await _show(exchange, await asyncio.to_thread(order, tenant(exchange), path_id(exchange)))

        return handle

    async def events(exchange: Exchange) -> None:
        asked = page(query(exchange, "after", "limit"), default=20, most=1000)
        found = await asyncio.to_thread(tuning.events, tenant(exchange), path_id(exchange), asked)
        await exchange.answer(200, msgspec.json.encode(TuningEventList(found.items, found.has_more)))

    async def checkpoints(exchange: Exchange) -> None:
        asked = page(query(exchange, "after", "limit"), default=10, most=100)
        found = await asyncio.to_thread(tuning.checkpoints, tenant(exchange), path_id(exchange), asked)
        shown = found.items
        first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
        await exchange.answer(
            200, msgspec.json.encode(TuningCheckpointList(shown, found.has_more, first, last))
        )

    jobs = "/v1/fine_tuning/jobs"
    return {
        jobs: {"GET": list_, "POST": create},
        f"{jobs}/{{id}}": {"GET": show},
        f"{jobs}/{{id}}/cancel": {"POST": ordering(tuning.cancel)},
        f"{jobs}/{{id}}/pause": {"POST": ordering(tuning.pause)},
        f"{jobs}/{{id}}/resume": {"POST": ordering(tuning.resume)},
        f"{jobs}/{{id}}/events": {"GET": events},
        f"{jobs}/{{id}}/checkpoints": {"GET": checkpoints},
    }


def _keep(given: dict[str, str]) -> Callable[[StoredTuning], bool]:
    """OpenAI's filter: `metadata[k]=v`, or `metadata=null` for the jobs without any."""
    wanted = {match[1]: value for name, value in given.items() if (match := _FILTER.fullmatch(name))}

    def keep(job: StoredTuning) -> bool:
        if "metadata" in given and job.metadata is not None:
            return False
        return all((job.metadata or {}).get(name) == value for name, value in wanted.items())

    return keep


async def _show(exchange: Exchange, job: StoredTuning) -> None:
    await exchange.answer(200, msgspec.json.encode(job.shown(tenant(exchange))))
