"""One training run from its spec: check the data, open the base, train, save, commit."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InvalidData, InvalidSpec
from .data import check, read
from .encode import Encoded, encode, pack
from .models import open_model, open_tokenizer, save
from .outputs import MANIFEST, RunLog, write_manifest
from .spec import TrainingSpec


def run(spec: TrainingSpec, log: RunLog) -> None:
    """Trains as `spec` says and leaves a complete run in `spec.output`.

    Raises InvalidSpec, InvalidData or InvalidModel before anything is trained, and Interrupted on a signal.
    """
    output = Path(spec.output)
    if (output / MANIFEST).exists():
        raise InvalidSpec(f"output: {output} holds a complete run; give another directory or remove it")
    for path in filter(None, (spec.data.train, spec.data.validation)):
        check(path, spec.method)
    log.event("data_checked", "the data is well-formed")
    _quiet()
    _prepare(spec)
    from .loop import optimize

    tokenizer = open_tokenizer(spec, output)
    train = _sequences(spec, spec.data.train, tokenizer, log)
    validation = _sequences(spec, spec.data.validation, tokenizer, log) if spec.data.validation else []
    model = open_model(spec, tokenizer)
    _check_length(spec, model)
    result = optimize(spec, model, tokenizer, train, validation, output, log)
    kind = save(model, tokenizer, spec, output)
    shutil.rmtree(output / "checkpoints" / ".partial", ignore_errors=True)
    write_manifest(output, spec, kind, result)
    log.event("succeeded", f"{result['steps']} steps in {result['seconds']:.1f} s", **result)


def _prepare(spec: TrainingSpec) -> None:
    """Seeds and threads, before the first random number is drawn."""
    import torch
    from transformers import set_seed

    if spec.threads:
        torch.set_num_threads(spec.threads)
    set_seed(spec.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)


def _quiet() -> None:
    """Leaves nothing but this program's own words on stderr."""
    import datasets
    from transformers.utils import logging as words

    quiet: Any = words
    warnings.filterwarnings("ignore")
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    logging.getLogger("trl").setLevel(logging.ERROR)
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()


def _sequences(spec: TrainingSpec, source: str, tokenizer: Any, log: RunLog) -> list[Encoded]:
    """The examples of `source`, encoded, cut to `max_length`, and packed where the spec says so."""
    length = spec.hyperparameters.max_length
    name = source.rstrip("/").rpartition("/")[2]
    cut = dropped = 0

    def fitting() -> Iterator[Encoded]:
        nonlocal cut, dropped
        for example in read(source):
            whole = encode(example, tokenizer, spec.loss)
            part = whole.cut(length)
            cut += len(part.ids) < len(whole.ids)
            if part.learned:
                yield part
            else:
                dropped += 1

    first = fitting()
    sequences = list(pack(first, length) if spec.packing else first)
    if cut:
        log.event("cut", f"{name}: {cut} examples are cut to {length} tokens", level="warn", count=cut)
    if dropped:
        log.event(
            "dropped",
            f"{name}: {dropped} examples have nothing left to learn",
            level="warn",
            count=dropped,
        )
    if not sequences:
        raise InvalidData(f"{source}: no example keeps an answer within {length} tokens; raise max_length")
    tokens = sum(len(sequence.ids) for sequence in sequences)
    log.event(
        "encoded",
        f"{name}: {len(sequences)} sequences, {tokens} tokens",
        sequences=len(sequences),
        tokens=tokens,
    )
    return sequences


def _check_length(spec: TrainingSpec, model: Any) -> None:
    context = getattr(model.config, "max_position_embeddings", None)
    if context and spec.hyperparameters.max_length > context:
        raise InvalidSpec(
            f"hyperparameters.max_length: {spec.hyperparameters.max_length} is over the base's {context}"
        )
