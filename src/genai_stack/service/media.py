"""Pictures, speech and music, by the models that the catalogue has for them: what is asked is checked here and goes on
to vLLM's or vLLM-Omni's own route, and what they answer comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import NamedTuple

import msgspec

from ..errors import EngineFailed, RequestError
from ..hosted import Task
from ..ports import ModelHost, ModelVersion, Reply
from ..protocol import media
from ..protocol.decoding import decode
from ..protocol.refusals import refusal
from . import intake
from .answers import Answers
from .catalogue import Catalogue
from .exchange import ClientGone, Exchange, Handler, UntilGone
from .limits import Limiter
from .load import Load
from .media_forms import received
from .needs import model_for
from .prices import Prices
from .resources.asked import idempotency_key, principal
from .resources.operations import Operation
from .usage import counts

IMAGES, EDITS = "/v1/images/generations", "/v1/images/edits"
SPEECH, MUSIC = "/v1/audio/speech", "/v1/audio/generations"
MUSIC_OF_MODEL = "/v1/audio/generate"
TRANSCRIPTIONS, TRANSLATIONS = "/v1/audio/transcriptions", "/v1/audio/translations"
OPERATIONS = (
    Operation("post", IMAGES, "createImage", "Draw pictures", media.Pictures, media.ImageRequest),
    Operation("post", EDITS, "editImage", "Change pictures", media.Pictures, media.EditForm, form=True),
    Operation("post", SPEECH, "createSpeech", "Say a text", None, media.SpeechRequest),
    Operation("post", MUSIC, "createMusic", "Make music or a sound", None, media.MusicRequest),
    Operation(
        "post", TRANSCRIPTIONS, "createTranscription", "Write down speech", media.Transcript,
        media.TranscriptionForm, form=True,
    ),
    Operation(
        "post", TRANSLATIONS, "createTranslation", "Write down speech in English", media.Transcript,
        media.TranslationForm, form=True,
    ),
)  # fmt: skip
PICTURES = 16


class Asking(NamedTuple):
    """What every route here stands on."""

    models: ModelHost
    catalogue: Catalogue
    limiter: Limiter
    prices: Prices
    load: Load
    answers: Answers
    max_body_bytes: int

    async def model(
        self,
        exchange: Exchange,
        request: msgspec.Struct,
        name: str | None,
        *tasks: Task,
        size: int,
        body: bytes,
        answer: Callable[[ModelVersion], Awaitable[None]],
    ) -> None:
        """Has the one that answers do so, a request of `size` bytes, which has a place and is admitted meanwhile; with
        an Idempotency-Key as the first one with the same `body` was answered. Raises NotFound and so on, Overloaded,
        OutOfBudget, Conflict, and what `answer` does."""
        who, key = principal(exchange), idempotency_key(exchange)
        version = await model_for(self.catalogue, who, name, *tasks)
        exchange.model, exchange.base = version.name, version.base
        price = self.prices.of(version.name, version.base)

        async def answered() -> None:
            await self.load.enter()
            began = perf_counter()
            try:
                await self.limiter.admit(exchange, who, request, size, price)
                await answer(version)
            finally:
                self.load.leave(min(exchange.served, perf_counter() - began))
            if exchange.gone:
                raise ClientGone

        if key is None:
            await answered()
        else:
            await self.answers.once(exchange, who.tenant, key, exchange.route.encode() + b"\n" + body, answered)

    async def reply(
        self, exchange: Exchange, model: str, route: str, body: bytes, kind: str = "application/json"
    ) -> Reply:
        wait, stays = intake.patience(exchange), idempotency_key(exchange) is not None
        with exchange.timed(), UntilGone(exchange, stays=stays):
            reply = await self.models.invoke(model, route, body, wait=wait, kind=kind)
        if reply.status != 200:
            raise refusal(reply.status, reply.body)
        if reply.content_type.startswith("application/json"):
            exchange.used = counts(reply.body)
        return reply


def routes(asking: Asking) -> dict[str, Handler]:
    """The handlers of what is posted."""

    async def images(exchange: Exchange) -> None:
        body = await intake.body(exchange, asking.max_body_bytes)
        request = decode(media.ImageRequest, body)

        async def answer(version: ModelVersion) -> None:
            asked = msgspec.structs.replace(request, model=version.name, response_format="b64_json")
            reply = await asking.reply(exchange, version.name, IMAGES, msgspec.json.encode(asked))
            await _show_pictures(exchange, reply, version.name)

        size = len(body)
        await asking.model(exchange, request, request.model, "image", size=size, body=body, answer=answer)

    async def edits(exchange: Exchange) -> None:
        names = ("image", "image[]", "mask")
        request, form = await received(exchange, media.EditForm, asking.max_body_bytes, *names)
        given = len(form.files.get("image", ())) + len(form.files.get("image[]", ()))
        if not 1 <= given <= PICTURES:
            raise RequestError(
                f"'image' comes once to {PICTURES} times, each a file; send as many.",
                param="image",
                code="missing_required_parameter" if not given else "invalid_value",
            )

        async def answer(version: ModelVersion) -> None:
            body = form.naming(version.name)
            reply = await asking.reply(exchange, version.name, EDITS, body, form.kind)
            await _show_pictures(exchange, reply, version.name)

        size, told = len(request.prompt), form.told
        await asking.model(exchange, request, request.model, "image", size=size, body=told, answer=answer)

    async def speech(exchange: Exchange) -> None:
        body = await intake.body(exchange, asking.max_body_bytes)
        request = decode(media.SpeechRequest, body)

        async def answer(version: ModelVersion) -> None:
            asked = msgspec.structs.replace(request, model=version.name, stream_format=None)
            reply = await asking.reply(exchange, version.name, SPEECH, msgspec.json.encode(asked))
            await _pass_on(exchange, reply)

        size = len(body)
        await asking.model(exchange, request, request.model, "speech", size=size, body=body, answer=answer)

    async def music(exchange: Exchange) -> None:
        body = await intake.body(exchange, asking.max_body_bytes)
        request = decode(media.MusicRequest, body)

        async def answer(version: ModelVersion) -> None:
            asked = msgspec.structs.replace(request, model=version.name, stream_format=None)
            reply = await asking.reply(exchange, version.name, MUSIC_OF_MODEL, msgspec.json.encode(asked))
            await _pass_on(exchange, reply)

        size = len(body)
        await asking.model(exchange, request, request.model, "music", size=size, body=body, answer=answer)

    def heard(route: str, kind: type[media.TranslationForm]) -> Handler:
        async def handle(exchange: Exchange) -> None:
            request, form = await received(exchange, kind, asking.max_body_bytes, "file")
            if form.files.get("file", [0]) == [0]:
                raise RequestError(
                    "'file' is missing; send one, with something in it.",
                    param="file",
                    code="missing_required_parameter",
                )
            if len(form.files["file"]) > 1:
                raise RequestError("'file' comes twice; send one.", param="file", code="invalid_value")

            async def answer(version: ModelVersion) -> None:
                body = form.naming(version.name)
                await _pass_on(exchange, await asking.reply(exchange, version.name, route, body, form.kind))

            size, name = len(request.prompt or ""), request.model  # a recording's bytes are no tokens
            told = form.told
            await asking.model(exchange, request, name, "transcription", size=size, body=told, answer=answer)

        return handle

    return {
        IMAGES: images,
        EDITS: edits,
        SPEECH: speech,
        MUSIC: music,
        TRANSCRIPTIONS: heard(TRANSCRIPTIONS, media.TranscriptionForm),
        TRANSLATIONS: heard(TRANSLATIONS, media.TranslationForm),
    }


async def _show_pictures(exchange: Exchange, reply: Reply, model: str) -> None:
    try:
        found = msgspec.json.decode(reply.body, type=media.Pictures)
    except msgspec.MsgspecError as error:
        raise EngineFailed(f"The model '{model}' answered without pictures: {error}.") from None
    await exchange.answer(200, msgspec.json.encode(found))


async def _pass_on(exchange: Exchange, reply: Reply) -> None:
    kind = reply.content_type.encode("latin-1", "replace")
    await exchange.answer(200, reply.body, kind=kind, headers=[(b"x-content-type-options", b"nosniff")])
