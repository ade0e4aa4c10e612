"""What the training stack says about SageMaker training jobs, as it stands in SSM: written by cdk, read by whoever
starts one."""

from __future__ import annotations

import msgspec


class ManagedTraining(msgspec.Struct, frozen=True):
    """`command` and a spec's address run the program in a container of `image`, as `role`. A job of one machine takes
    `instance`, on spot capacity; one of several takes `many_instance`, on demand. Times are seconds, the machine's
    disk is GiB."""

    role: str
    image: str
    command: tuple[str, ...]
    environment: dict[str, str]
    instance: str
    many_instance: str
    disk_gb: int
    max_seconds: int
    """Of training, all of a job's attempts together."""
    wait_seconds: int
    """How long a job may wait for spot capacity besides."""
    attempts: int
    """How often SageMaker starts a job again that a fault of its own ended."""
    subnets: tuple[str, ...] = ()
    """Of our network; none means SageMaker's own, and then there are no groups."""
    group: str | None = None
    many_group: str | None = None
