"""The only composition root: which adapters stand behind the ports, in each place the stack runs in."""

from __future__ import annotations

from pathlib import Path

from .config import StackConfig
from .ports import ModelVersion, Services


def local_services(home: Path, config: StackConfig | None = None) -> Services:
    """Everything on this machine, its state under `home` (made when missing). `config` names the models; without it
    there are the built-in ones. Call `models.close()` at the end: it ends the model servers. Jobs run on."""
    from .local.home import Home
    from .local.host import LoopbackHost
    from .local.objects import DirectoryObjects
    from .local.queue import ProcessJobs
    from .local.records import SqliteRecords
    from .registry import RecordedModels

    config = config or StackConfig()
    place = Home(home)
    records = SqliteRecords(place.records)
    configured = [ModelVersion(model.name, model.source, model.task) for model in config.models]
    registry = RecordedModels(records, configured)
    options = [
        f"--{field.replace('_', '-')}={getattr(config.local, field)}"
        for field in config.local.__struct_fields__
    ]
    return Services(
        objects=DirectoryObjects(place.objects),
        records=records,
        jobs=ProcessJobs(place),
        registry=registry,
        models=LoopbackHost(place, registry, options=options),
    )
