"""Bytes to a request, or the RequestError that says which field is wrong and what to do about it.

The decoder is strict: UTF-8 JSON only, no coercion between types, no NaN or Infinity, no lone surrogates, bounded
numbers and nesting. A key that comes twice counts with its last value, as in every server behind this one.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, TypeVar

import msgspec

from ..errors import RequestError
from .rules import RULES

R = TypeVar("R", bound=msgspec.Struct)

_WHERE = re.compile(r" - at `(?:key` in `)?\$\.?(?P<path>[^`]*)`$")
_FIELD = re.compile(r"^Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`$", re.DOTALL)
_TAG = re.compile(r"^Invalid (?:enum )?value (?P<value>.*)$", re.DOTALL)
_LONGEST = 300


def decode(kind: type[R], body: bytes) -> R:
    """Raises RequestError (400), with the offending field in `param` where one is to blame."""
    try:
        request: R = _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what = "empty" if not body.strip() else f"not valid JSON in UTF-8 ({_shorten(str(error))})"
        raise RequestError(f"The body is {what}; send one JSON object.", code="invalid_json") from None
    except RecursionError:
        raise RequestError(
            "The body nests too deeply; send a flatter JSON object.", code="invalid_json"
        ) from None
    if (check := RULES.get(kind)) is not None:
        check(request)
    return request


def convert(kind: type[R], fields: dict[str, str]) -> R:
    """The same for the fields of a form, whose numbers are texts."""
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None


@cache
def _decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _refusal(detail: str) -> RequestError:
    """msgspec's sentence, turned into a field and a next step."""
    where = _WHERE.search(detail)
    path = where["path"] if where else ""
    what = detail[: where.start()] if where else detail
    if field := _FIELD.match(what):
        name = _shorten(f"{path}.{field['name']}" if path else field["name"])
        if field["what"].startswith("missing"):
            return RequestError(f"'{name}' is missing; send it.", param=name, code="missing_required_parameter")
        return RequestError(
            f"'{name}' isn't a known parameter; leave it out.", param=name, code="unknown_parameter"
        )
    if not path:
        return RequestError(
            f"The body is not usable: {_shorten(what)}; send one JSON object.", code="invalid_json"
        )
    path = _shorten(path)
    if what.startswith("Expected `null`"):
        return RequestError(
            f"'{path}' isn't supported; leave it out.", param=path, code="unsupported_parameter"
        )
    if tag := _TAG.match(what):
        message = f"'{path}' can't be {_shorten(tag['value'])} here; see /openapi.json for the values it takes."
        return RequestError(message, param=path, code="unsupported_value")
    what = _shorten(what[:1].lower() + what[1:])
    return RequestError(
        f"'{path}' is invalid: {what}; correct it or leave it out.", param=path, code="invalid_value"
    )


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
