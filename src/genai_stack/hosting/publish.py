"""Ships the engine's form with a model: `python -m genai_stack.hosting.publish MODEL_DIR [--tokenizer-only]`.

The form records the digest of what it was made from; after new weights, publish again (until then the server builds
its own into the cache).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import msgspec

from .artefact import (
    SHIPPED,
    Manifest,
    convert_tokenizer,
    model_digest,
    tokenizer_digest,
    write_model,
)


def publish(directory: Path, *, tokenizer_only: bool = False) -> Path:
    """Writes `directory`/openvino anew and returns it: the int8 graph unless `tokenizer_only`, the tokenizer, the
    manifest last. Raises InvalidModel."""
    with tempfile.TemporaryDirectory(dir=directory, prefix=".publish-") as name:
        scratch = Path(name)
        if not convert_tokenizer(directory, scratch):
            raise SystemExit(f"the tokenizer of {directory} can't be converted; see above")
        model = None
        if not tokenizer_only:
            write_model(directory, None, "int8", scratch)
            model = model_digest(directory, None, "int8")
        manifest = Manifest(tokenizer_digest(directory), model)
        (scratch / "manifest.json").write_bytes(msgspec.json.encode(manifest))
        place = directory / SHIPPED
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(scratch, place)
        place.chmod(0o755)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description="Ship the engine's form with a model.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--tokenizer-only", action="store_true")
    arguments = parser.parse_args()
    place = publish(arguments.directory, tokenizer_only=arguments.tokenizer_only)
    size = sum(f.stat().st_size for f in place.iterdir())
    print(f"{place}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
