"""`[service.gateway]`: what stands before the API in an account, and where it is reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NoReturn

import msgspec


class GatewayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[service.gateway]`: what stands before the API in an account. On this machine nothing of it is read."""

    requests_per_second: Annotated[int, msgspec.Meta(ge=1, le=10000)] = 100
    """Of all clients together; more get 429."""
    burst: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 200
    """Requests that may come at once."""
    requests_per_address: Annotated[int, msgspec.Meta(ge=10, le=2_000_000_000)] = 3000
    """In five minutes from one address; more get 403 until it has calmed down."""
    concurrency: Annotated[int, msgspec.Meta(ge=0, le=10000)] = 100
    """Requests that are answered at the same time, a stream as long as it lasts: so many are set aside for the API, and
    it never takes more. 0 sets none aside, and leaves the account's limit."""
    memory_mb: Annotated[int, msgspec.Meta(ge=256, le=10240)] = 1769
    """Of one environment, which answers one request at a time. 1769 has one core."""
    domain: Annotated[str, msgspec.Meta(pattern=r"^(([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63})?$")] = (
        ""
    )
    """A name of your own for the API, such as `api.example.com`: then it answers at no other. Empty: AWS's."""
    certificate: Annotated[
        str, msgspec.Meta(pattern=r"^(arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+)?$")
    ] = ""
    """The domain's certificate in ACM, of the region that is deployed to, by its ARN."""
    hosted_zone: Annotated[str, msgspec.Meta(pattern=r"^(Z[A-Z0-9]{1,31})?$")] = ""
    """The zone of Route 53 that gets the domain's record; empty leaves that to you."""
    vpc_endpoints: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern=r"^vpce-[0-9a-f]{8,17}$")], ...], msgspec.Meta(max_length=10)
    ] = ()
    """Interface endpoints for `execute-api` in networks of yours: the API is private, and answers through these alone.
    The first one's address is published."""


def refuse_nowhere(gateway: GatewayConfig, refuse: Callable[[str, str], NoReturn], region: str | None) -> None:
    """Calls `refuse`, with a message and the setting, on an address that couldn't be deployed though each value by
    itself is right: a domain goes with its certificate, and not with a private API. `region` is where it is deployed
    to, where that is known."""
    if gateway.domain and not gateway.certificate:
        refuse('name its certificate in ACM too: certificate = "arn:aws:acm:…"', "domain")
    for name in ("certificate", "hosted_zone"):
        if getattr(gateway, name) and not gateway.domain:
            refuse("it is for a domain; name that, or leave it out", name)
    if gateway.domain and gateway.vpc_endpoints:
        refuse(
            "a private API is asked at its endpoint's address; leave the domain out, or the endpoints", "domain"
        )
    if region and gateway.certificate and (there := gateway.certificate.split(":")[3]) != region:
        refuse(f"it is in {there}, and the API in {region}, where its certificate has to be", "certificate")
