"""EC2's NVIDIA machines, as far as a training job or a hosted model must know them: what to ask of one, how it is
wired, and what its GPUs hold.

The figures are those of EC2's DescribeInstanceTypes. Only x86 machines stand here: the containers are built for it.
"""

from __future__ import annotations

from typing import NamedTuple


class Machine(NamedTuple):
    """One instance type. Memory is in MiB; `efas` counts its elastic fabric adapters, 0 where it has none."""

    gpus: int
    vcpus: int
    memory: int
    cards: int = 1
    """Network cards. Each carries one adapter, except that a card 0 over the count of adapters is plain Ethernet."""
    efas: int = 0


def _gib(gpus: int, vcpus: int, gib: int, cards: int = 1, efas: int = 0) -> Machine:
    return Machine(gpus, vcpus, gib * 1024, cards, efas)


MACHINES: dict[str, Machine] = {
    "g5.xlarge": _gib(1, 4, 16),
    "g5.2xlarge": _gib(1, 8, 32),
    "g5.4xlarge": _gib(1, 16, 64),
    "g5.8xlarge": _gib(1, 32, 128, efas=1),
    "g5.16xlarge": _gib(1, 64, 256, efas=1),
    "g5.12xlarge": _gib(4, 48, 192, efas=1),
    "g5.24xlarge": _gib(4, 96, 384, efas=1),
    "g5.48xlarge": _gib(8, 192, 768, efas=1),
    "g6.xlarge": _gib(1, 4, 16),
    "g6.2xlarge": _gib(1, 8, 32),
    "g6.4xlarge": _gib(1, 16, 64),
    "g6.8xlarge": _gib(1, 32, 128, efas=1),
    "g6.16xlarge": _gib(1, 64, 256, efas=1),
    "g6.12xlarge": _gib(4, 48, 192, efas=1),
    "g6.24xlarge": _gib(4, 96, 384, efas=1),
    "g6.48xlarge": _gib(8, 192, 768, efas=1),
    "gr6.4xlarge": _gib(1, 16, 128),
    "gr6.8xlarge": _gib(1, 32, 256, efas=1),
    "g6e.xlarge": _gib(1, 4, 32),
    "g6e.2xlarge": _gib(1, 8, 64),
    "g6e.4xlarge": _gib(1, 16, 128),
    "g6e.8xlarge": _gib(1, 32, 256, efas=1),
    "g6e.16xlarge": _gib(1, 64, 512, efas=1),
    "g6e.12xlarge": _gib(4, 48, 384, efas=1),
    "g6e.24xlarge": _gib(4, 96, 768, cards=2, efas=2),
    "g6e.48xlarge": _gib(8, 192, 1536, cards=4, efas=4),
    "g7e.2xlarge": _gib(1, 8, 64),
    "g7e.4xlarge": _gib(1, 16, 128),
    "g7e.8xlarge": _gib(1, 32, 256, efas=1),
    "g7e.12xlarge": _gib(2, 48, 512, efas=1),
    "g7e.24xlarge": _gib(4, 96, 1024, cards=2, efas=2),
    "g7e.48xlarge": _gib(8, 192, 2048, cards=4, efas=4),
    "p4d.24xlarge": _gib(8, 96, 1152, cards=4, efas=4),
    "p4de.24xlarge": _gib(8, 96, 1152, cards=4, efas=4),
    "p5.4xlarge": _gib(1, 16, 256, efas=1),
    "p5.48xlarge": _gib(8, 192, 2048, cards=32, efas=32),
    "p5e.48xlarge": _gib(8, 192, 2048, cards=32, efas=32),
    "p5en.48xlarge": _gib(8, 192, 2048, cards=16, efas=16),
    "p6-b200.48xlarge": _gib(8, 192, 2048, cards=8, efas=8),
    "p6-b300.48xlarge": _gib(8, 192, 4096, cards=17, efas=16),
}

GPU_MEMORY: dict[str, int] = {
    "g5": 22_888,  # NVIDIA A10G
    "g6": 22_888,  # L4
    "gr6": 22_888,
    "g6e": 45_776,  # L40S
    "g7e": 97_887,  # RTX PRO 6000 Blackwell
    "p4d": 40_960,  # A100
    "p4de": 81_920,
    "p5": 81_920,  # H100
    "p5e": 144_384,  # H200
    "p5en": 144_384,
    "p6-b200": 183_296,
    "p6-b300": 275_040,
}
"""MiB of one GPU, by family; where sources differ, the lower figure."""
UNHOSTED = frozenset({"gr6"})
"""Families that SageMaker doesn't host models on: its API knows no `ml.gr6…`."""


def family(instance: str) -> str:
    """`g6e` of `g6e.2xlarge`."""
    return instance.partition(".")[0]


def hosts(instance: str) -> bool:
    """Whether SageMaker hosts models on the machine."""
    return instance in MACHINES and family(instance) not in UNHOSTED
