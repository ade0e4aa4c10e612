"""What is written beside a run's result, as its spec's `export` asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InvalidSpec
from .models import open_base, save_model
from .spec import TrainingSpec

MERGED = "merged"


def check(spec: TrainingSpec) -> None:
    """Raises InvalidSpec for what can't be exported on this machine, before anything is trained."""
    from importlib.util import find_spec

    if "compiled" in spec.export and find_spec("openvino") is None:
        raise InvalidSpec("export: \"compiled\" needs the local engine; run: pip install 'genai-stack[local]'")


def export(spec: TrainingSpec, tokenizer: Any, output: Path) -> list[str]:
    """Writes what was asked and returns the folders that it adds to the run's own. A merged model is the base as it is
    published, in whole precision, with the adapter added to its weights."""
    added = []
    if "merged" in spec.export:
        from peft import PeftModel

        adapted: Any = PeftModel.from_pretrained(open_base(spec.base), str(output / "adapter"))
        save_model(adapted.merge_and_unload(), tokenizer, spec, output / MERGED)
        added.append(MERGED)
    if "compiled" in spec.export:
        from ..hosting.publish import publish

        whole = MERGED if spec.adapter else "model"
        if not (output / whole).is_dir():
            raise InvalidSpec(
                'export: the engine\'s form of an adapter is that of the merged model; ask for "merged" too'
            )
        publish(output / whole)
    return added
