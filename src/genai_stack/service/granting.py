"""What a key with the scope `admin` may do with others: it gives no more than it has, and has to do with keys of its
own tenant. One that was made without a tenant, and the stack's own, has to do with those of every tenant."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import Forbidden
from .principal import KeyScope, Limits, Principal


def tenant_for(who: Principal, asked: str | None) -> str | None:
    """Of a key that `who` makes; None is a tenant of its own. Raises Forbidden."""
    if who.everywhere:
        return asked
    if asked not in (None, who.tenant):
        raise Forbidden(
            "Keys of another tenant are made with an admin's key that has no tenant; leave 'tenant' out for your own.",
            code="insufficient_scope",
            param="tenant",
        )
    return who.tenant


def check_gift(
    who: Principal,
    scopes: Sequence[KeyScope],
    models: Sequence[str] | None,
    expires: float | None,
    limits: Limits,
) -> None:
    """Raises Forbidden where `who` would give, or get by a rotation, more than it has itself."""
    if lacking := sorted(set(scopes) - set(who.scopes)):
        raise _refused("scopes", f"it hasn't the scope '{lacking[0]}' itself")
    if who.models is not None and not (models and all(_covered(who.models, name) for name in models)):
        raise _refused("models", "it is for some models only; name those, or fewer")
    if who.expires is not None and (expires is None or expires > who.expires):
        raise _refused("expires_in", "it ends before that one would; let it end sooner")
    for name in limits.__struct_fields__:
        own, given = getattr(who.limits, name), getattr(limits, name)
        if own is not None and (given is None or given > own):
            raise _refused(f"limits.{name}", f"it has {own:g} of that itself; give no more")


def _covered(own: Sequence[str], name: str) -> bool:
    """Whether every model that `name` stands for is among `own`."""
    return any(name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in own)


def _refused(param: str, why: str) -> Forbidden:
    return Forbidden(
        f"A key gives no more than it has: this one can't, since {why}.", code="insufficient_scope", param=param
    )
