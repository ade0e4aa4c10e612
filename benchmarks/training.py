"""Tokens per second of training on this machine's processor, the built-in model's shape, three ways in the same run:

    python -m benchmarks.training

the training program, TRL's SFTTrainer and a bare PyTorch loop, each in a process of its own, over rows of equal
length, in rounds that each begin with another way. A run's speed is that of its median step after step WARM, a way's
the median of its runs: a machine that others use too stalls single steps. The promise: 0.9 of the better.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from genai_stack import builtin

ROWS, LENGTH, BATCH, WARM, ROUNDS = 240, 256, 8, 5, 5
WAYS = ("program", "trl", "bare")


def rows() -> list[str]:
    """Documents that all fill a row."""
    from genai_stack.training.world.names import Draw
    from genai_stack.training.world.telling import tell

    draw = Draw(5)
    return [" ".join(tell(draw) for _ in range(40)) for _ in range(ROWS)]


def report(times: list[float]) -> None:
    """`times` are the moments at which steps ended."""
    ends = times[WARM:]
    print(BATCH * LENGTH / statistics.median(end - before for before, end in pairwise(ends)))


def program(folder: Path) -> None:
    spec = {
        "name": "bench", "method": "full", "output": str(folder / f"run-{time.time_ns()}"),
        "data": {"train": str(folder / "rows.jsonl"), "loss": "all"},
        "hyperparameters": {"epochs": 1, "batch_size": BATCH, "max_length": LENGTH, "precision": "f32"},
    }  # fmt: skip
    (folder / "spec.json").write_text(json.dumps(spec))
    subprocess.run([sys.executable, "-m", "genai_stack.training", str(folder / "spec.json")], check=True)
    lines = map(json.loads, (Path(spec["output"]) / "metrics.jsonl").read_text().splitlines())
    report([line["time"] for line in lines if "loss" in line])


def trl(folder: Path) -> None:
    import datasets
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.time())

    model = AutoModelForCausalLM.from_pretrained(builtin.model_dir(), dtype=torch.float32)
    settings = SFTConfig(
        str(folder / "trl"), num_train_epochs=1, per_device_train_batch_size=BATCH, max_length=LENGTH, use_cpu=True,
        bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no", disable_tqdm=True,
        logging_steps=1,
    )  # fmt: skip
    SFTTrainer(
        model=model,
        args=settings,
        train_dataset=datasets.load_dataset("json", data_files=str(folder / "rows.jsonl"), split="train"),
        processing_class=AutoTokenizer.from_pretrained(builtin.model_dir()),
        callbacks=[Clock()],
    ).train()
    report(times)


def bare(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(builtin.model_dir())
    model: Any = AutoModelForCausalLM.from_pretrained(builtin.model_dir(), dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=True)
    texts = [json.loads(line)["text"] for line in (folder / "rows.jsonl").read_text().splitlines()]
    ids = torch.tensor([tokenizer(text)["input_ids"][:LENGTH] for text in texts])
    times = []
    for batch in ids.split(BATCH):
        model(input_ids=batch, labels=batch, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.time())
    report(times)


def main() -> None:
    if len(sys.argv) == 3:
        {"program": program, "trl": trl, "bare": bare}[sys.argv[1]](Path(sys.argv[2]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in rows()))
        speeds: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(ROUNDS):
            for way in (*WAYS[number % len(WAYS) :], *WAYS[: number % len(WAYS)]):
                command = [sys.executable, "-m", "benchmarks.training", way, name]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                speeds[way].append(float(told.splitlines()[-1]))
    medians = {way: statistics.median(values) for way, values in speeds.items()}
    for way, median in medians.items():
        print(f"{way:8} {median:8.0f} tokens/s   {min(speeds[way]):.0f} to {max(speeds[way]):.0f}")
    print(f"program / better of the others: {medians['program'] / max(medians['trl'], medians['bare']):.2f}")


if __name__ == "__main__":
    main()
