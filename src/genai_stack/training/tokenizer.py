"""Trains the byte-level BPE tokenizer: `python -m genai_stack.training.tokenizer CORPUS OUT_DIR`.

The vocabulary holds every byte, so any text round-trips. It is made for small models that copy: digits stand alone, and
a word is cut in the same places wherever it stands. Pieces of words are learned first, without the space before them;
a space joins the first piece of its word last. So " Oslo" in a passage and "Oslo" in an answer or in quotes differ in
their first token alone, and `spaced` says which tokens are one but for the space.

The chat template is ChatML; a turn ends with <|im_end|>, which is also eos. No token is ever added in front. Equal data
gives an equal tokenizer, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from .data import read
from .examples import Chat, Completion, Example, Passage, Preference

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPACE = "Ġ"
"""The space, as byte-level vocabularies write it."""
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)| ?\p{L}+| ?\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = Path(__file__).parent / "chat_template.jinja"


LEARNED_FROM = 1 << 30
"""Characters of text that the vocabulary is learned from: the first of a corpus that is larger. What is counted, and
so the memory, grows with the number of different words."""


def texts(example: Example) -> Iterator[str]:
    """Every string of an example, and the tools as the prompt will show them."""
    if isinstance(example, Preference):
        yield from texts(example.chosen)
        yield from texts(example.rejected)
    elif isinstance(example, Chat):
        for tool in example.tools or ():
            yield json.dumps(tool.get("function", tool), ensure_ascii=False)
        yield from _strings(example.messages)
        yield from (
            message["role"] for message in example.messages
        )  # counts twice: so the built-in one was made
    elif isinstance(example, Completion):
        yield example.prompt
        yield example.completion
    elif isinstance(example, Passage):
        yield example.text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _corpus(source: str | Path) -> Iterator[str]:
    left = LEARNED_FROM
    for example in read(source):
        for text in texts(example):
            yield text
            left -= len(text)
        if left <= 0:
            return


def train_once(source: str | Path, out: Path, vocabulary: int, context: int) -> Path:
    """`out` with the tokenizer in it: the one that is there, else one trained now. It appears whole, whoever is killed
    and however many processes ask at once. Raises InvalidData."""
    if not out.is_dir():
        out.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-"))
        try:
            train(source, scratch, vocabulary, context)
            scratch.rename(out)
        except OSError:
            if not out.is_dir():  # another process was first otherwise
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return out


def train(source: str | Path, out: Path, vocabulary: int, context: int = 1024) -> None:
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja into `out`. `vocabulary` is the number of
    entries, special tokens and bytes included, and an upper limit: a small corpus gives fewer. `context` is the
    longest sequence in tokens. Raises InvalidData."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    def split(pattern: str) -> Any:
        by_word = pre_tokenizers.Split(Regex(pattern), "isolated")
        return pre_tokenizers.Sequence([by_word, pre_tokenizers.ByteLevel(False, use_regex=False)])

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = split(SPLIT.replace(" ?", ""))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    special, alphabet = [END, START, STOP], pre_tokenizers.ByteLevel.alphabet()
    least = len(special) + len(alphabet)
    trainer = trainers.BpeTrainer(
        vocab_size=least + max(vocabulary - least, 0) // 2, special_tokens=special, show_progress=False,
        initial_alphabet=alphabet,
    )  # fmt: skip
    tokenizer.train_from_iterator(_corpus(source), trainer)
    first = _after_a_space(tokenizer, _corpus(source))
    model = json.loads(tokenizer.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(pair) for pair in model["merges"]]
    for piece in first[: vocabulary - len(vocab)]:
        vocab[SPACE + piece] = len(vocab)
        merges.append((SPACE, piece))
    tokenizer.model = models.BPE(vocab, merges)
    tokenizer.pre_tokenizer = split(SPLIT)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    template = TEMPLATE.read_text(encoding="utf-8")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context,
        "clean_up_tokenization_spaces": False, "add_bos_token": False,
        "bos_token": END, "eos_token": STOP, "pad_token": END, "chat_template": template,
    }  # fmt: skip
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (out / "chat_template.jinja").write_text(template, encoding="utf-8")


def _after_a_space(tokenizer: Any, corpus: Iterator[str]) -> list[str]:
    """The pieces that follow a single space and aren't one with it yet, the most frequent first."""
    space, seen = tokenizer.token_to_id(SPACE), Counter[int]()
    while some := list(islice(corpus, 1000)):
        for encoded in tokenizer.encode_batch(some, add_special_tokens=False):
            seen.update(piece for before, piece in pairwise(encoded.ids) if before == space)
    pieces = {piece: tokenizer.id_to_token(piece) for piece in seen}
    begins = [
        piece
        for piece, told in pieces.items()
        if told[0] not in "ĠĊčĉ" and tokenizer.token_to_id(SPACE + told) is None
    ]
    return [pieces[piece] for piece in sorted(begins, key=lambda piece: (-seen[piece], piece))]


def spaced(tokenizer: Any) -> list[tuple[int, int]]:
    """The tokens that begin with a space, each with the token that it is without."""
    vocab: dict[str, int] = tokenizer.get_vocab()
    return sorted(
        (number, vocab[token[1:]])
        for token, number in vocab.items()
        if token.startswith(SPACE) and token[1:] in vocab and token[1] != SPACE
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m genai_stack.training.tokenizer", description=__doc__)
    parser.add_argument(
        "corpus", help="a JSONL or Parquet file, a directory of them, s3://… or hf://datasets/…"
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--vocabulary", type=int, default=2048, help="entries, the special tokens included")
    args = parser.parse_args()
    train(args.corpus, args.out, args.vocabulary)


if __name__ == "__main__":
    main()
