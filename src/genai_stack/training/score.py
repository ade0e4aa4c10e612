"""Scores a model on chats by exact match: `python -m genai_stack.training.score MODEL HELDOUT.jsonl [--adapter DIR]`.

The last assistant turn of each line is the expected answer; decoding is greedy; white space at the ends is ignored.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InvalidData
from ..sources import check, resolve
from .data import read
from .examples import Chat


@dataclass(frozen=True)
class Answer:
    """One question's outcome."""

    question: str
    expected: str
    given: str

    @property
    def right(self) -> bool:
        return self.given.strip() == self.expected.strip()


def ask(model: Any, tokenizer: Any, chats: list[Chat], *, limit: int = 128, batch: int = 16) -> list[Answer]:
    """Greedy answers to each chat's last turn, in order. `limit` is in new tokens."""
    import torch

    answers: list[Answer] = []
    for start in range(0, len(chats), batch):
        part = chats[start : start + batch]
        texts = [
            tokenizer.apply_chat_template(
                c.messages[:-1], tools=c.tools, tokenize=False, add_generation_prompt=True
            )
            for c in part
        ]
        inputs = tokenizer(
            texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False
        )
        with torch.no_grad():
            out = model.generate(
                **inputs, max_new_tokens=limit, do_sample=False, pad_token_id=tokenizer.pad_token_id
            )
        given = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for chat, text in zip(part, given, strict=True):
            answers.append(Answer(str(chat.messages[-2]["content"]), _said(tokenizer, chat), text))
    return answers


def _said(tokenizer: Any, chat: Chat) -> str:
    """The last turn as the template writes it, without its special tokens."""
    before = tokenizer.apply_chat_template(
        chat.messages[:-1], tools=chat.tools, tokenize=False, add_generation_prompt=True
    )
    whole = tokenizer.apply_chat_template(chat.messages, tools=chat.tools, tokenize=False)
    ids = tokenizer(whole[len(before) :], add_special_tokens=False)["input_ids"]
    return str(tokenizer.decode(ids, skip_special_tokens=True))


def open_for_scoring(source: str, adapter: Path | None) -> tuple[Any, Any]:
    """The model in f32 with the adapter on top, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    directory = resolve(source)
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    model: Any = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False
    )
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(check(adapter)))
    return model.eval(), tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m genai_stack.training.score", description=__doc__)
    parser.add_argument("model", help="builtin, a directory or hf://org/name")
    parser.add_argument("heldout", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--show", type=int, default=0, help="print this many wrong answers")
    args = parser.parse_args()
    chats = [example for example in read(args.heldout) if isinstance(example, Chat)]
    if not chats or any(len(chat.messages) < 2 for chat in chats):
        raise InvalidData(f"{args.heldout}: needs chats of a question and its answer")
    model, tokenizer = open_for_scoring(args.model, args.adapter)
    answers = ask(model, tokenizer, chats)
    for answer in [a for a in answers if not a.right][: args.show]:
        print(f"asked:    {answer.question!r}\nexpected: {answer.expected!r}\ngiven:    {answer.given!r}\n")
    right = sum(answer.right for answer in answers)
    print(f"{right} of {len(answers)} exact ({right / len(answers):.1%})")


if __name__ == "__main__":
    main()
