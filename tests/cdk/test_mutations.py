"""No setting can change unnoticed: each one of the template is changed in turn, and one of these tests must fail."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from tests.cdk import test_events, test_fleets, test_jobs, test_network, test_roles, test_storage
from tests.cdk.templates import Template, plain

MODULES = (test_fleets, test_jobs, test_storage, test_network, test_roles, test_events)
Path = tuple[str | int, ...]
WORDS = (
    "Description",
    "GroupDescription",
    "AlarmDescription",
    "DashboardBody",
    "Sid",
    "Id",
    "PolicyName",
    "Version",
)
"""Names and texts, which a person reads and nothing hangs on. The dashboard's own test reads what it shows."""
ELSEWHERE = ("AWS::SSM::Parameter", "AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPCGatewayAttachment")
"""test_deployment finds the first in an account; the others are the VPC's inner joints, one way to make them."""


def checks(reserved: Template, modules: tuple[ModuleType, ...] = MODULES) -> list[Callable[..., None]]:
    """Every test that reads the default template, once for each of its parameters. Those that compare it with
    another configuration's get that as it is."""
    found: list[Callable[..., None]] = []
    for module in modules:
        for name, test in vars(module).items():
            if not name.startswith("test_"):
                continue
            names = set(inspect.signature(test).parameters)
            rows: list[dict[str, Any]] = [{"reserved": reserved} if "reserved" in names else {}]
            for mark in (m for m in getattr(test, "pytestmark", ()) if m.name == "parametrize"):
                keys = [mark.args[0]] if isinstance(mark.args[0], str) else list(mark.args[0])
                values = [[row] if len(keys) == 1 else row for row in mark.args[1]]
                rows = [row | dict(zip(keys, each, strict=True)) for row in rows for each in values]
            if "template" in names and names == {"template", *rows[0]}:
                found += [functools.partial(test, **row) for row in rows]
    return found


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every setting below `value`: what is neither a list nor a table, and the references as a whole."""
    if isinstance(value, dict) and value and not _reference(value):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def _reference(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::"))


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    return {"Ref": "Elsewhere12345678"}


def settings(template: Template) -> Iterator[tuple[str, Path]]:
    for id, resource in template["Resources"].items():
        if resource["Type"] in ELSEWHERE:
            continue
        for path in leaves(resource.get("Properties", {})):
            if "Tags" in path and "AWS::Batch" not in resource["Type"] and "LaunchTemplateData" not in path:
                continue  # the Name tags of the VPC's parts
            if not path or any(part in WORDS for part in path):
                continue
            yield id, path


def unnoticed(template: Template, tests: list[Callable[..., None]]) -> list[str]:
    """The settings that can be changed, or left out, without one of `tests` failing."""
    changed = copy.deepcopy(template)
    survivors = []
    for id, path in settings(template):
        holder = changed["Resources"][id]["Properties"]
        for part in path[:-1]:
            holder = holder[part]
        last = path[-1]
        original = holder[last]
        holder[last] = other(original)
        if not _noticed(tests, changed):
            survivors.append(f"{plain(id)}: {'.'.join(map(str, path))} changed")
        holder[last] = original
        if isinstance(holder, dict):
            del holder[last]
            if not _noticed(tests, changed):
                survivors.append(f"{plain(id)}: {'.'.join(map(str, path))} left out")
            holder[last] = original
    return survivors


def parts(value: Any, path: Path = ()) -> Iterator[Path]:
    """What holds settings below `value`: tables and lists, and each row of a list."""
    if isinstance(value, dict) and not _reference(value):
        for key, item in value.items():
            if isinstance(item, dict | list) and key not in WORDS:
                yield (*path, key)
                yield from parts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield (*path, index)
            yield from parts(item, (*path, index))


def removed_unnoticed(template: Template, tests: list[Callable[..., None]]) -> list[str]:
    """The resources, and the parts of them, that can be taken out without one of `tests` failing: a bucket's policy,
    a statement of one, a rule of the firewall."""
    changed = copy.deepcopy(template)
    resources = changed["Resources"]
    survivors = []
    for id, resource in list(resources.items()):
        if resource["Type"] in ELSEWHERE:
            continue
        place = list(resources)
        del resources[id]
        if not _noticed(tests, changed):
            survivors.append(plain(id))
        changed["Resources"] = resources = {key: resource if key == id else resources[key] for key in place}
        for path in list(parts(resource.get("Properties", {}))):
            if "Tags" in path:
                continue
            holder = resource["Properties"]
            for part in path[:-1]:
                holder = holder[part]
            whole = copy.copy(holder)
            del holder[path[-1]]
            if not _noticed(tests, changed):
                survivors.append(f"{plain(id)}: {'.'.join(map(str, path))}")
            holder.clear()
            holder.update(whole) if isinstance(holder, dict) else holder.extend(whole)
    return survivors


def _noticed(tests: list[Callable[..., None]], template: Template) -> bool:
    for position, test in enumerate(tests):
        try:
            test(template=template)
        except Exception:
            # What noticed one setting is likely to notice its neighbour.
            tests.insert(0, tests.pop(position))
            return True
    return False


def test_every_check_passes_on_what_is(template: Template, reserved: Template) -> None:
    tests = checks(reserved)
    assert len(tests) > 80
    for test in tests:
        test(template=template)


def test_no_setting_changes_unnoticed(template: Template, reserved: Template) -> None:
    assert sum(1 for _ in settings(template)) > 800
    assert unnoticed(template, checks(reserved)) == []


def test_nothing_is_taken_out_unnoticed(template: Template, reserved: Template) -> None:
    everything = removed_unnoticed(template, [])
    assert len(everything) > 400
    assert "StorageArtefactsPolicy: PolicyDocument.Statement.0" in everything
    assert removed_unnoticed(template, checks(reserved)) == []
