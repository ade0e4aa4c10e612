"""The processes of one run: which this one is, and agreeing with the others. Alone, everything is immediate.

torchrun's variables say which process this is; `torch.distributed` carries what they tell each other once the trainer
has set it up.
"""

from __future__ import annotations

from typing import Any

from .. import settings
from ..errors import InvalidSpec


def world() -> int:
    """How many processes there are."""
    return settings.torchrun().world


def is_first() -> bool:
    """Whether this is rank 0, which writes what is written once."""
    return settings.torchrun().rank == 0


def is_first_of_node() -> bool:
    return settings.torchrun().local_rank == 0


def share(batch: int) -> int:
    """How many of a batch's sequences each process takes at a time. Raises InvalidSpec where it doesn't divide."""
    if batch % world():
        raise InvalidSpec(f"hyperparameters.batch_size: {batch} doesn't divide among {world()} processes")
    return batch // world()


def wait_for_all() -> None:
    if _together():
        import torch.distributed as dist

        dist.barrier()


def any_of(flag: bool) -> bool:
    """Whether `flag` is true in any process: all of them take the same turn."""
    return any(gathered(flag))


def gathered(value: Any) -> list[Any]:
    """Every process's value, in the order of ranks."""
    if not _together():
        return [value]
    import torch.distributed as dist

    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def lost_another(error: BaseException) -> bool:
    """Whether `error` is what the backends raise when a process they talk to has gone."""
    if world() == 1:
        return False
    import torch.distributed as dist

    gone = ("Connection closed by peer", "Connection reset by peer", "Timed out", "timed out", "Broken pipe")
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(said in str(error) for said in gone)
    )


def _together() -> bool:
    if world() == 1:
        return False
    import torch.distributed as dist

    return dist.is_initialized()
