"""Who a request comes from, and what its key may do: which routes, which models, how much."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

import msgspec

from ..errors import Forbidden, RequestError

KeyScope = Literal["inference", "files", "admin"]
SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)
USUAL: tuple[KeyScope, ...] = ("inference", "files")
"""Of a key that doesn't say. `inference` asks models; `files` is for what a tenant keeps (files, uploads, batches,
fine-tuning jobs) and for deleting fine-tunes; `admin` sees the usage and has the keys of its tenant, or of every one
where it was made without a tenant."""
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,255}\*?|\*")
_COUNT = Annotated[int, msgspec.Meta(ge=1, le=10**12)]


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a key may use; None is without a limit. `budget` is in US dollars a calendar month (UTC)."""

    requests_per_minute: _COUNT | None = None
    tokens_per_minute: _COUNT | None = None
    concurrent: _COUNT | None = None
    budget: Annotated[float, msgspec.Meta(ge=0, le=10**6)] | None = None


UNLIMITED = Limits()


class Principal(msgspec.Struct, frozen=True):
    """`id` is the key's, and safe to log. `tenant` owns what is made with it. `models` are the names it may use, a `*`
    at the end standing for any rest; None is every one. `expires` is in Unix seconds."""

    id: str
    name: str
    tenant: str
    scopes: tuple[KeyScope, ...] = USUAL
    models: tuple[str, ...] | None = None
    limits: Limits = UNLIMITED
    expires: float | None = None

    @property
    def everywhere(self) -> bool:
        """Whether its scope `admin` is for every tenant: it has none but its own."""
        return self.tenant == self.id and "admin" in self.scopes

    def may_use(self, model: str) -> bool:
        return self.models is None or any(
            model.startswith(name[:-1]) if name.endswith("*") else model == name for name in self.models
        )

    def check_model(self, model: str, *, param: str = "model") -> None:
        """Raises Forbidden; whether there is such a model isn't told."""
        if not self.may_use(model):
            raise Forbidden(
                "This key isn't for that model; name another (GET /v1/models lists those it is for).",
                code="model_not_allowed",
                param=param,
            )

    def check_scope(self, scope: KeyScope) -> None:
        """Raises Forbidden."""
        if scope not in self.scopes:
            raise Forbidden(
                f"This key hasn't the scope '{scope}'; use one that has it: genai-stack keys create --scope {scope}",
                code="insufficient_scope",
            )


MASTER = Principal("master", "master", "master", SCOPES)


def checked_tenant(tenant: str) -> str:
    """Raises RequestError."""
    if not _TENANT.fullmatch(tenant):
        raise RequestError(
            "a tenant's name has 1 to 64 letters, digits and '._-', and begins with a letter or digit; choose another",
            param="tenant",
        )
    return tenant


def checked_models(models: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Raises RequestError. None stays None, and so does an empty list: a key for no model would be for nothing."""
    for name in models or ():
        if not _MODEL.fullmatch(name):
            raise RequestError(
                f"{name[:80]!r} can't be a model's name; see: genai-stack models", param="models"
            )
    return models or None
