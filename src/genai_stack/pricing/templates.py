"""The templates that `cdk synth` wrote, as far as prices go by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .. import names
from ..errors import ConfigError

ENDING = ".template.json"


class Template(msgspec.Struct, frozen=True):
    """`stack` is the name it is deployed under. `resources` are CloudFormation's, by their logical ids; `stage` is the
    stage it is of, empty for a template of something else."""

    stack: str
    resources: dict[str, dict[str, Any]]
    stage: str = ""

    def properties(self, id: str) -> dict[str, Any]:
        """Of a resource; nothing where it isn't there."""
        found = self.resources.get(id, {}).get("Properties", {})
        return found if isinstance(found, dict) else {}

    def of_type(self, type: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of a type, by logical id."""
        return {id: self.properties(id) for id, one in self.resources.items() if one.get("Type") == type}


class Unreadable(Exception):
    """A property that is known in the account alone; its text names it."""


def references(value: Any) -> Iterator[str]:
    """The logical ids that a value refers to, by Ref or Fn::GetAtt."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref" and isinstance(inner, str):
                yield inner
            elif key == "Fn::GetAtt":
                yield str(inner[0] if isinstance(inner, list) and inner else inner).partition(".")[0]
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def number(properties: dict[str, Any], name: str, default: float | None = None) -> float:
    """Raises Unreadable where it is no number, and where it is missing without a default."""
    value = properties.get(name, default)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Unreadable(f"{name} is only known in the account") from None


def listed(properties: dict[str, Any], name: str) -> list[Any]:
    """An array of a property's; nothing where it is missing. Raises Unreadable where it is another thing."""
    value = properties.get(name, [])
    if not isinstance(value, list):
        raise Unreadable(f"{name} is only known in the account")
    return value


def read(folder: Path, stage: str | None = None) -> list[Template]:
    """The templates in `folder`: those of its manifest where it has one, for `cdk synth` leaves there what it wrote
    before. With a `stage` it must be theirs. Raises ConfigError where there are none, or another stage's, and says what
    to run."""
    option = f" -c stage={stage}" if stage else ""
    synth = f"run: npx {names.CDK_CLI} synth --quiet{option}"
    about = _manifest(folder)
    paths = sorted(one for one in folder.glob(f"*{ENDING}") if not about or one.name in about)
    if not paths:
        raise ConfigError(f"no templates in {folder}; {synth}")
    found = [_template(path, about) for path in paths]
    others = sorted({one.stage for one in found if one.stage != stage}) if stage else []
    if others:
        whose = ", ".join(repr(other) for other in others if other) or "no stage"
        raise ConfigError(f"the templates in {folder} are those of {whose}, not of {stage!r}; {synth}")
    return found


def _manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """What the assembly's manifest says of each template's file."""
    path = folder / "manifest.json"
    if not path.is_file():
        return {}
    artifacts = _json(path).get("artifacts", {})
    stacks = (one for one in artifacts.values() if one.get("type") == "aws:cloudformation:stack")
    return {one["properties"]["templateFile"]: one["properties"] for one in stacks}


def _template(path: Path, about: dict[str, dict[str, Any]]) -> Template:
    told = about.get(path.name, {})
    content = _json(path)
    resources = content.get("Resources")
    if not isinstance(resources, dict) or not all(isinstance(one, dict) for one in resources.values()):
        raise ConfigError("is no CloudFormation template: it has no Resources", file=str(path))
    name = told.get("stackName") or path.name.removesuffix(ENDING)
    return Template(name, resources, told.get("tags", {}).get(names.STAGE_TAG, ""))


def _json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"can't be read: {error}", file=str(path)) from None
