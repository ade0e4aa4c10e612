"""/v1/videos: create, list, retrieve, content, remix, delete."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import msgspec

from ...config import StackConfig
from ...errors import ObjectNotFound, RequestError, TooLarge
from ...ports import LongWork, ObjectInfo, Services
from ...protocol.decoding import decode
from ...protocol.videos import RemixRequest, VideoDeleted, VideoList, VideoRequest
from .. import intake
from ..catalogue import Catalogue
from ..charging import VIDEOS, Charges
from ..exchange import Exchange, Handler
from ..limits import Limiter
from ..load import Load
from ..needs import model_for
from ..prices import Prices
from ..principal import Principal
from ..resources.asked import idempotency_key, page, path_id, principal, query, tenant
from ..resources.contents import Content, send
from ..resources.files import Files
from ..resources.once import Claim, Once
from .asking import asked, film_form
from .behind import ROUTE, Behind, Work
from .places import Places
from .records import StoredVideo
from .videos import Videos

KIND = b"video/mp4"
VARIANTS = ("video", "thumbnail", "spritesheet")
LOOK_SECONDS = 0.05
"""Between two looks at what another request hands over."""


class Films(NamedTuple):
    """`close` ends what runs in the background, and comes before the end of what it uses. `sweep` removes what has
    expired; it waits on stores: call it in a thread."""

    routes: dict[str, dict[str, Handler]]
    close: Callable[[], Awaitable[None]]
    sweep: Callable[[], None]


def films(
    services: Services,
    config: StackConfig,
    catalogue: Catalogue,
    limiter: Limiter,
    prices: Prices,
    charges: Charges,
    load: Load,
    files: Files,
    *,
    lasting: bool,
) -> Films:
    """`lasting`: this process goes on while no request runs."""
    long_work = services.long_work
    videos = Videos(services.objects, services.records, Once(services.records), charges, long_work)
    behind = Behind(videos, services.models) if lasting and long_work is None else None
    places = Places(services.records, videos)
    making = Making(videos, behind, long_work, places, catalogue, limiter, prices)
    most = config.service.max_body_bytes

    async def close() -> None:
        if behind is not None:
            await behind.close()

    return Films(_routes(videos, making, charges, load, files, most), close, videos.sweep)


class Making(NamedTuple):
    """How films come to be made: by this process, or by a host that works on without it."""

    videos: Videos
    behind: Behind | None
    long_work: LongWork | None
    places: Places
    catalogue: Catalogue
    limiter: Limiter
    prices: Prices

    async def again(self, exchange: Exchange, by: Principal, asked: str) -> StoredVideo | None:
        """The film of a request that was sent before with the same key, whatever else has changed since. Raises
        Conflict."""
        key = idempotency_key(exchange)
        there = await asyncio.to_thread(self.videos.again, by.tenant, key, asked)
        return await self._there(exchange, by, there)

    async def make(
        self,
        exchange: Exchange,
        by: Principal,
        asked: str,
        request: VideoRequest,
        reference: bytes | None,
        of: str | None = None,
    ) -> StoredVideo:
        """The film that is asked for, once per key; `asked` tells requests apart. Raises NotFound, RequestError,
        Conflict, Overloaded, OutOfBudget, and what the model's host does."""
        wait, key = intake.patience(exchange), idempotency_key(exchange)
        version = await model_for(self.catalogue, by, request.model, "video")
        exchange.model, exchange.base = version.name, version.base
        request = msgspec.structs.replace(request, model=version.name)
        claim, before = await asyncio.to_thread(self.videos.claim, by.tenant, key, asked)
        if (there := await self._there(exchange, by, before)) is not None:
            return there
        with ExitStack() as place:
            if self.behind is not None:
                self.behind.turnstile.enter(by.tenant, claim.id)
                place.callback(self.behind.turnstile.leave, by.tenant, claim.id)
            price = self.prices.of(version.name, version.base)
            await self.limiter.admit(exchange, by, request, len(request.prompt), price)
            body, kind = film_form(request, reference)
            new = StoredVideo(claim.id, int(time.time()), by.id, request, version.base, of)
            if self.long_work is not None:
                video = await self._handed(self.long_work, by.tenant, claim, key, new, body, kind)
            else:
                video, added = await asyncio.to_thread(self.videos.queue, by.tenant, claim, new)
                if added and self.behind is not None:
                    self.behind.start(Work(by.tenant, video, body, kind, wait))
                    place.pop_all()  # it is the film's now
                await asyncio.to_thread(self.videos.made, by.tenant, key, claim)
        exchange.charged = True
        if exchange.admission is not None:
            exchange.admission.settle(0, 0)
            exchange.admission = None
        return video

    async def _handed(
        self,
        host: LongWork,
        tenant: str,
        claim: Claim,
        key: bytes | None,
        new: StoredVideo,
        body: bytes,
        kind: str,
    ) -> StoredVideo:
        """The film once its host has it. Of several with one key one hands it over, and the others wait for that."""
        while True:
            video, added = await asyncio.to_thread(self.videos.queue, tenant, claim, new)
            if added:
                break
            if (there := await self._handed_over(tenant, video)) is not None:
                return there
        try:
            await asyncio.to_thread(self.places.take, tenant, claim.id)
            order = await host.order(new.model, ROUTE, body, kind=kind)
        except BaseException:
            await asyncio.to_thread(self.videos.unmade, tenant, claim.id)
            raise
        video = await asyncio.to_thread(self.videos.ordered, tenant, claim.id, order)
        await asyncio.to_thread(self.videos.made, tenant, key, claim)
        return video

    async def _there(self, exchange: Exchange, by: Principal, video: StoredVideo | None) -> StoredVideo | None:
        if video is not None and self.long_work is not None:
            video = await self._handed_over(by.tenant, video)
        if video is not None:
            exchange.model, exchange.base = video.model, video.base
            exchange.charged = True  # with the film
        return video

    async def _handed_over(self, tenant: str, video: StoredVideo) -> StoredVideo | None:
        """A film that another request makes, once its host has it; None where that refused it."""
        there: StoredVideo | None = video
        while there is not None and there.order is None and not there.ended:
            await asyncio.sleep(LOOK_SECONDS)
            there = await asyncio.to_thread(self.videos.find, tenant, video.id)
        return there


def _routes(
    videos: Videos, making: Making, charges: Charges, load: Load, files: Files, most: int
) -> dict[str, dict[str, Handler]]:
    def check() -> None:
        charges.check()
        load.check()
        if making.behind is None and making.long_work is None:
            raise _frozen()

    async def create(exchange: Exchange) -> None:
        check()
        by = principal(exchange)
        request, reference = await asked(exchange, files, by, most)
        told = f"{request} {hashlib.sha256(reference or b'').hexdigest()}"
        video = await making.again(exchange, by, told)
        await _show(exchange, video or await making.make(exchange, by, told, request, reference))

    async def remix(exchange: Exchange) -> None:
        check()
        by, id = principal(exchange), path_id(exchange)
        wanted = decode(RemixRequest, await intake.body(exchange, most))
        told = f"remix {id} {wanted.prompt}"
        if (made := await making.again(exchange, by, told)) is not None:
            await _show(exchange, made)
            return
        video, blob = await asyncio.to_thread(videos.content, by.tenant, id)
        if blob.bytes > most:
            raise TooLarge(
                f"The film has {blob.bytes} bytes, over the limit of {most}; raise service.max_body_bytes.",
                param="id",
            )
        try:
            film = await asyncio.to_thread(lambda: b"".join(videos.read(blob)))
        except ObjectNotFound:  # deleted meanwhile
            raise videos.absent(id) from None
        request = msgspec.structs.replace(video.asked, prompt=wanted.prompt)
        await _show(exchange, await making.make(exchange, by, told, request, film, id))

    async def list_(exchange: Exchange) -> None:
        asked_for = page(query(exchange, "after", "limit", "order"), default=20, most=100)
        found = await asyncio.to_thread(videos.page, tenant(exchange), asked_for)
        shown = [video.shown() for video in found.items]
        first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
        await exchange.answer(200, msgspec.json.encode(VideoList(shown, found.has_more, first, last)))

    async def show(exchange: Exchange) -> None:
        await _show(exchange, await asyncio.to_thread(videos.get, tenant(exchange), path_id(exchange)))

    async def content(exchange: Exchange) -> None:
        _whole(query(exchange, "variant").get("variant", "video"))
        video, blob = await asyncio.to_thread(videos.content, tenant(exchange), path_id(exchange))
        await send(exchange, _content(videos, video, blob))

    async def delete(exchange: Exchange) -> None:
        id = path_id(exchange)
        await asyncio.to_thread(videos.delete, tenant(exchange), id)
        if making.behind is not None:
            await making.behind.gone(id)
        await exchange.answer(200, msgspec.json.encode(VideoDeleted(id)))

    return {
        VIDEOS: {"GET": list_, "POST": create},
        f"{VIDEOS}/{{id}}": {"GET": show, "DELETE": delete},
        f"{VIDEOS}/{{id}}/content": {"GET": content},
        f"{VIDEOS}/{{id}}/remix": {"POST": remix},
    }


def _content(videos: Videos, video: StoredVideo, blob: ObjectInfo) -> Content:
    read = partial(videos.read, blob)
    return Content(f"{video.id}.mp4", blob.bytes, blob.sha256, read, videos.absent(video.id), KIND)


async def _show(exchange: Exchange, video: StoredVideo) -> None:
    await exchange.answer(200, msgspec.json.encode(video.shown()))


def _whole(variant: str) -> None:
    if variant in VARIANTS[1:]:
        raise RequestError(
            f"'variant' can't be {variant} here: the models make the film alone; leave it out.",
            param="variant",
            code="unsupported_value",
        )
    if variant != VARIANTS[0]:
        raise RequestError(
            "'variant' is 'video'; correct it or leave it out.", param="variant", code="invalid_value"
        )


def _frozen() -> RequestError:
    return RequestError(
        "Films can't be made on this stage: it hosts no model that works on when a request has been answered; host one "
        'with task = "video".',
        code="no_video_model",
    )
