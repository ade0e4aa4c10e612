"""Trains the byte-level BPE tokenizer: `python -m genai_stack.training.tokenizer CORPUS.jsonl OUT_DIR`.

The vocabulary holds every byte, so any text round-trips; digits stand alone, so numbers can be copied. The chat
template is ChatML; a turn ends with <|im_end|>, which is also eos. No token is ever added in front.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = Path(__file__).parent / "chat_template.jinja"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _texts(corpus: Path) -> Iterator[str]:
    """Every string of every example, and the tools as the prompt will show them."""
    with corpus.open(encoding="utf-8") as lines:
        for line in lines:
            example = json.loads(line)
            for tool in example.pop("tools", []):
                yield json.dumps(tool["function"], ensure_ascii=False)
            yield from _strings(example)
            for message in example.get("messages", []):
                yield message["role"]


def train(corpus: Path, out: Path, vocabulary: int) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja into `out`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END, START, STOP], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(_texts(corpus), trainer)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    template = TEMPLATE.read_text(encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 1024, "clean_up_tokenization_spaces": False,
        "add_bos_token": False, "bos_token": END, "eos_token": STOP, "pad_token": END, "chat_template": template,
    }  # fmt: skip
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / "chat_template.jinja").write_text(template, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m genai_stack.training.tokenizer", description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--vocabulary", type=int, default=2048, help="entries, the special tokens included")
    args = parser.parse_args()
    train(args.corpus, args.out, args.vocabulary)


if __name__ == "__main__":
    main()
