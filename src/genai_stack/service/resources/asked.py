"""What a request to these routes says beside its body: who asks, which page, and whether it was sent before."""

from __future__ import annotations

import re
from typing import Literal, cast
from urllib.parse import parse_qsl

from ...errors import RequestError
from ..exchange import Exchange
from ..principal import Principal
from .shelf import Page

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_LONGEST = 4096


def tenant(exchange: Exchange) -> str:
    """Whose things these are: the tenant's of the key, and the key's own where it has none. Two tenants share
    nothing."""
    return principal(exchange).tenant


def principal(exchange: Exchange) -> Principal:
    assert exchange.principal is not None, "a guarded route"
    return exchange.principal


def path_id(exchange: Exchange, name: str = "id") -> str:
    return str(exchange.path_params[name])


def idempotency_key(exchange: Exchange) -> bytes | None:
    """Raises RequestError."""
    found = [value for name, value in exchange.headers if name == b"idempotency-key"]
    if not found:
        return None
    if len(found) > 1 or not _KEY.fullmatch(found[0]):
        raise RequestError(
            "Idempotency-Key comes once, with 1 to 255 visible ASCII characters; send another.",
            code="invalid_idempotency_key",
        )
    return found[0]


def query(
    exchange: Exchange, *names: str, pattern: re.Pattern[str] | None = None, many: str | None = None
) -> dict[str, str]:
    """The query's parameters. Raises RequestError for one that isn't among `names` and doesn't fit `pattern`, and for
    one that comes twice. `many` may, as itself or with `[]` behind it: its values come joined by commas."""
    try:
        if len(exchange.query) > _LONGEST:
            raise ValueError("too long")
        pairs = parse_qsl(
            exchange.query.decode("ascii"), keep_blank_values=True, max_num_fields=32, errors="strict"
        )
    except ValueError:
        raise RequestError(
            "The query can't be read; percent-encode it as UTF-8.", code="invalid_query"
        ) from None
    given: dict[str, str] = {}
    for name, value in pairs:
        if many is not None and name in (many, f"{many}[]"):
            given[many] = f"{given[many]},{value}" if many in given else value
            continue
        if name not in names and not (pattern and pattern.fullmatch(name)):
            raise RequestError(
                f"'{name[:80]}' isn't a known query parameter here; leave it out.",
                param=name[:80],
                code="unknown_parameter",
            )
        if name in given:
            raise RequestError(f"'{name}' comes twice; send it once.", param=name, code="invalid_value")
        given[name] = value
    return given


def page(given: dict[str, str], *, default: int, most: int, order: Literal["asc", "desc"] = "desc") -> Page:
    """Raises RequestError."""
    limit = given.get("limit", str(default))
    if not re.fullmatch("[0-9]{1,6}", limit) or not 1 <= int(limit) <= most:
        raise _invalid("limit", f"is a number from 1 to {most}")
    chosen = given.get("order", order)
    if chosen not in ("asc", "desc"):
        raise _invalid("order", "is 'asc' or 'desc'")
    after = given.get("after")
    if after is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", after):
        raise _invalid("after", "is the id of the last one you have")
    return Page(int(limit), after, cast(Literal["asc", "desc"], chosen))


def _invalid(name: str, what: str) -> RequestError:
    return RequestError(f"'{name}' {what}; correct it or leave it out.", param=name, code="invalid_value")
