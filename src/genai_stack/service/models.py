"""GET /v1/models, and one model: shown, or, where it is a fine-tune, deleted."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from ..errors import Conflict, NotFound
from ..ports import ModelHost, ModelVersion
from ..protocol.replies import ModelCard, ModelDeleted, ModelList
from ..registry import split
from .catalogue import Catalogue
from .exchange import Exchange, Handler


def listed(catalogue: Catalogue) -> Handler:
    async def handle(exchange: Exchange) -> None:
        found = ModelList([_card(version) for version in await catalogue.all() if _usable(exchange, version)])
        await exchange.answer(200, msgspec.json.encode(found))

    return handle


def shown(catalogue: Catalogue) -> Handler:
    async def handle(exchange: Exchange) -> None:
        name = exchange.path_params["model"]
        if exchange.principal is not None:
            exchange.principal.check_model(name)
        await exchange.answer(200, msgspec.json.encode(_card(await catalogue.find(name))))

    return handle


def deleted(catalogue: Catalogue, models: ModelHost) -> Handler:
    """Forgets the name first, so that no new request can bring the model up again, then frees what it held."""

    async def handle(exchange: Exchange) -> None:
        if exchange.principal is not None:
            exchange.principal.check_model(exchange.path_params["model"])
        version = await catalogue.find(exchange.path_params["model"])
        if not _is_fine_tune(version):
            raise Conflict(
                f"'{version.name}' isn't a fine-tune, so it can't be deleted here; take it out of stack.toml."
            )
        await catalogue.delete(version.name)
        with suppress(NotFound):
            await models.undeploy(version.name)
        await exchange.answer(200, msgspec.json.encode(ModelDeleted(version.name)))

    return handle


def _is_fine_tune(version: ModelVersion) -> bool:
    """Whether a job made all that goes by its name. A base whose live version was tuned from an earlier one of it is
    the operator's still."""
    if version.base is not None:
        return True
    return version.job is not None and (version.parent is None or split(version.parent)[0] != version.name)


def _usable(exchange: Exchange, version: ModelVersion) -> bool:
    return exchange.principal is None or exchange.principal.may_use(version.name)


def _card(version: ModelVersion) -> ModelCard:
    return ModelCard(version.name, int(version.created), version.task, version.base)
