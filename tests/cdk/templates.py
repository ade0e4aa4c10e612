"""Reading a synthesised template."""

from __future__ import annotations

import re
from typing import Any

Template = dict[str, Any]


def of_type(template: Template, type: str) -> dict[str, Any]:
    """The properties of every resource of a type, by logical id."""
    return {
        id: resource.get("Properties", {})
        for id, resource in template["Resources"].items()
        if resource["Type"] == f"AWS::{type}"
    }


def one(template: Template, type: str, start: str = "") -> Any:
    """The properties of the only resource of a type whose logical id starts so."""
    (found,) = (properties for id, properties in of_type(template, type).items() if id.startswith(start))
    return found


def text(value: Any) -> str:
    """A value with its references spelled out: `<Ref>`, `<Resource.Attribute>`, without the ids' hashes."""
    if isinstance(value, str):
        return value
    ((function, argument),) = value.items()
    if function == "Fn::Join":
        return str(argument[0]).join(text(part) for part in argument[1])
    if function == "Ref":
        return f"<{plain(argument)}>"
    if function == "Fn::GetAtt":
        return f"<{plain(argument[0])}.{argument[1]}>"
    if function == "Fn::ImportValue":
        return _exported(argument)
    if function == "Fn::FindInMap":
        return f"<{argument[0]}>"
    if function == "Fn::Select":
        return f"{text(argument[1])}[{argument[0]}]"
    if function == "Fn::Split":
        return text(argument[1])
    if function in ("Fn::Base64", "Fn::Sub"):
        return text(argument)
    raise ValueError(f"{function} isn't read here")


def _exported(name: str) -> str:
    """What another stack exports, as it is spelled out there."""
    match = re.fullmatch(r"[\w-]+:ExportsOutput(?:Ref|FnGetAtt)(\w+?)[0-9A-F]{8}(\w*?)[0-9A-F]{8}", name)
    assert match, name
    return f"<{match[1]}.{match[2]}>" if match[2] else f"<{match[1]}>"


def plain(id: str) -> str:
    """A logical id without the hash that CDK puts behind it."""
    head, tail = id[:-8], id[-8:]
    return head if len(id) > 8 and set(tail) <= set("0123456789ABCDEF") else id


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
