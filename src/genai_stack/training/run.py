"""One training run from its spec: check the data, open the base, train, save, commit."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

from ..errors import InvalidSpec
from ..loading import uncollected
from . import ranks
from .checkpoints import ASIDE
from .data import check
from .export import check as check_export
from .models import open_model, open_tokenizer
from .outputs import MANIFEST, RunLog
from .place import Place
from .rows import rows
from .spec import TrainingSpec, plain
from .tracking import check as check_tracking
from .tracking import tracked


def run(spec: TrainingSpec, place: Place, log: RunLog) -> None:
    """Trains as `spec` says and leaves a complete run in `place`. A run that is complete already is left as it is.

    Raises InvalidSpec, InvalidData or InvalidModel before anything is trained, and Interrupted on a signal.
    """
    if place.holds(MANIFEST):
        _check_same(spec, place.path)
        log.event("complete", "this run is complete already; nothing to do")
        return
    check_export(spec)
    check_tracking()
    ranks.share(spec.hyperparameters.batch_size)
    for source in filter(None, (spec.data.train, spec.data.validation)):
        check(source, spec.method)
    log.event("data_checked", "the data is well-formed")
    with uncollected():
        _quiet()
        _prepare(spec)
        from .loop import optimize
        from .results import finish

    tokenizer = open_tokenizer(spec, place.path)
    train = rows(spec, spec.data.train, tokenizer, log)
    validation = rows(spec, spec.data.validation, tokenizer, log) if spec.data.validation else []
    with tracked(spec, place, log):
        trained = optimize(spec, lambda: _opened(spec, tokenizer), tokenizer, train, validation, place, log)
        if ranks.is_first():
            told = finish(spec, trained, tokenizer, place)
            shutil.rmtree(place.path / ASIDE, ignore_errors=True)
            log.event("succeeded", f"{told['steps']} steps in {told['seconds']:.1f} s", **told)


def _check_same(spec: TrainingSpec, output: Path) -> None:
    if json.loads((output / MANIFEST).read_bytes()).get("spec") != plain(spec):
        raise InvalidSpec(
            f"output: {spec.output} holds another run, complete; give another directory or remove it"
        )


def _opened(spec: TrainingSpec, tokenizer: Any) -> Any:
    """The model as the seed makes it, however often it is opened."""
    from transformers import set_seed

    set_seed(spec.seed)
    model = open_model(spec, tokenizer)
    _check_length(spec, model)
    _check_packing(spec, model)
    return model


def _prepare(spec: TrainingSpec) -> None:
    """Seeds and threads, before the first random number is drawn."""
    import torch
    from transformers import set_seed

    if spec.threads:
        torch.set_num_threads(spec.threads)
    set_seed(spec.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic: Any = torch.utils.deterministic
    deterministic.fill_uninitialized_memory = False  # a guard against bugs, at a tenth of the speed


def _quiet() -> None:
    """Leaves nothing but this program's own words on stderr."""
    from transformers.utils import logging as words

    quiet: Any = words
    warnings.filterwarnings("ignore")
    for name in ("accelerate", "trl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()


def _check_length(spec: TrainingSpec, model: Any) -> None:
    context = getattr(model.config, "max_position_embeddings", None)
    if context and spec.hyperparameters.max_length > context:
        raise InvalidSpec(
            f"hyperparameters.max_length: {spec.hyperparameters.max_length} is over the base's {context}"
        )


def _check_packing(spec: TrainingSpec, model: Any) -> None:
    """Attention tells packed documents apart by their positions; a recurrent layer runs through all of a row."""
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    recurrent = sorted(kind for kind in kinds if "attention" not in kind or "linear" in kind)
    if spec.packing and recurrent:
        message = f"the base has {recurrent[0]} layers, in which packed documents would mix; set it to false"
        raise InvalidSpec(f"hyperparameters.packing: {message}")
