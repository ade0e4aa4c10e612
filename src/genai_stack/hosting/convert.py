"""A Hugging Face tokenizer to the engine's: `python -m genai_stack.hosting.convert MODEL_DIR OUT_DIR`.

The one place in this room that imports transformers; it runs when a model is published or first seen, never to serve.
A tokenizer needs none of torch, which would be three quarters of the time: here it counts as not installed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import cast


def convert(directory: Path, into: Path) -> None:
    """Writes openvino_tokenizer and openvino_detokenizer (.xml, .bin)."""
    sys.modules.setdefault("torch", cast(ModuleType, None))
    import openvino as ov
    from openvino_tokenizers import convert_tokenizer
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
    encoder, decoder = convert_tokenizer(tokenizer, with_detokenizer=True)
    ov.save_model(encoder, into / "openvino_tokenizer.xml")
    ov.save_model(decoder, into / "openvino_detokenizer.xml")


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
