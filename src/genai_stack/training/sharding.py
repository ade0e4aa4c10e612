"""One model divided among the processes of a run: FSDP2, through accelerate."""

from __future__ import annotations

from typing import Any

from .devices import Device


def fully_sharded(device: Device) -> dict[str, Any]:
    """Parameters, gradients and the optimizer's state are divided, and checkpoints are saved by shards. On GPUs the
    first process reads the weights and the others take their shards from it, rather than each a whole model."""
    return {
        "version": 2, "reshard_after_forward": True, "state_dict_type": "SHARDED_STATE_DICT",
        "cpu_ram_efficient_loading": device.kind == "cuda",
    }  # fmt: skip


def shard_on_processors(trainer: Any) -> None:
    """accelerate 1.15 keeps a whole model in every process where there is no GPU, whatever its FSDP plugin says, and
    doesn't tell. This makes it divide the model there as well."""
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    options = trainer.args.fsdp_plugin_args
    if options is None or trainer.is_fsdp_enabled:
        return
    state = trainer.accelerator.state
    plugin = FullyShardedDataParallelPlugin(**options)
    if state._mixed_precision != "no":
        plugin.set_mixed_precision(state._mixed_precision)
    state.fsdp_plugin = plugin
    state.distributed_type = DistributedType.FSDP
    trainer.is_fsdp_enabled = True


def whole_weights(trainer: Any) -> dict[str, Any] | None:
    """The weights put together from all processes' shards, on rank 0 (an empty dict elsewhere); None when the model
    isn't sharded."""
    if not trainer.is_fsdp_enabled:
        return None
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return dict(get_model_state_dict(trainer.model_wrapped, options=whole))
