"""The GPU container's way through a batch: `vllm run-batch` as a child process.

What it does, by vLLM's own source (vllm/entrypoints/openai/run_batch.py): `-i` and `-o` name JSONL files; answers are
appended to the output file in the input's order while it runs; it knows chat completions and embeddings, and not
/v1/completions; a refused request has `response.body` null, and the refusal, a string or OpenAI's error body, in
`error`; ids begin with "vllm-".
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..errors import EngineFailed, InvalidModel, InvalidSpec
from ..protocol.batch_lines import VLLM_ENDPOINTS
from ..sources import resolve
from . import entries
from .entries import Entry
from .files import whole_lines
from .intake import Line
from .specs import BatchSpec

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What --max-lora-rank takes."""
POLL_SECONDS = 0.5
GOODBYE_SECONDS = 12.0
"""Between SIGTERM and SIGKILL."""
Record = Callable[[int, Entry], None]


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Output(msgspec.Struct):
    """A line of vLLM's."""

    custom_id: str
    response: _Response | None = None
    error: Any = None


def command(spec: BatchSpec, program: str, asked: Path, answers: Path) -> list[str]:
    """The command line. Raises InvalidModel for a model or an adapter that can't be used."""
    model = spec.model
    line = [program, "run-batch", "-i", str(asked), "-o", str(answers)]
    line += ["--model", _weights(model.source), "--max-num-seqs", str(spec.max_in_flight)]
    if model.source.startswith("hf://") and "@" in model.source:
        line += ["--revision", model.source.partition("@")[2]]
    if model.adapter is None:
        return [*line, "--served-model-name", model.name]
    adapter = resolve(model.adapter)
    line += [
        "--served-model-name",
        model.versions()[0].name,
        "--enable-lora",
        "--max-lora-rank",
        str(_rank(adapter)),
    ]
    return [*line, "--lora-modules", f"{model.name}={adapter}"]


def run(spec: BatchSpec, scratch: Path, lines: Iterable[Line], record: Record, stop: threading.Event) -> None:
    """Runs vLLM once over `lines` and records what it answers, while it goes. When `stop` is set vLLM is ended, and
    what it had answered by then is recorded. Raises InvalidSpec before anything starts, and EngineFailed with vLLM's
    last words when it doesn't answer every line; what it did answer stays recorded."""
    if spec.endpoint not in VLLM_ENDPOINTS:
        raise InvalidSpec(
            f'endpoint: vllm run-batch doesn\'t know {spec.endpoint}; use engine = "local" for it'
        )
    program = shutil.which("vllm")
    if program is None:
        raise InvalidSpec(
            'engine: there is no vllm on PATH; run it in the GPU container, or use engine = "local"'
        )
    scratch.mkdir(exist_ok=True)
    asked, answers, said = scratch / "asked.jsonl", scratch / "answers.jsonl", scratch / "said.txt"
    numbers = _write(asked, spec.endpoint, lines)
    answers.unlink(missing_ok=True)
    with said.open("wb") as words:
        process = subprocess.Popen(
            command(spec, program, asked, answers), stdin=subprocess.DEVNULL, stdout=words, stderr=words,
            start_new_session=True,
        )  # fmt: skip
    harvest = _Harvest(answers, numbers, record)
    try:
        while process.poll() is None and not stop.is_set():
            stop.wait(POLL_SECONDS)
            harvest.take()
    finally:
        _end(process)
    harvest.take()
    if not stop.is_set() and harvest.left:
        raise EngineFailed(_reason(process.returncode, harvest.left, said))


class _Harvest:
    """Takes whole lines out of a growing file, each once."""

    def __init__(self, answers: Path, numbers: dict[str, int], record: Record) -> None:
        self._answers, self._numbers, self._record, self._at = answers, dict(numbers), record, 0

    @property
    def left(self) -> int:
        return len(self._numbers)

    def take(self) -> None:
        """Raises EngineFailed for a line that isn't an answer to one of ours."""
        if self._answers.exists():
            for offset, line in whole_lines(self._answers, self._at):
                self._keep(line)
                self._at = offset + len(line) + 1

    def _keep(self, line: bytes) -> None:
        try:
            output = msgspec.json.decode(line, type=_Output)
            number = self._numbers.pop(output.custom_id)
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
            what = f"{type(error).__name__}: {error}"
            raise EngineFailed(f"vllm wrote what nobody asked ({what}): {line[:200]!r}") from None
        self._record(number, _entry(output))


def _entry(output: _Output) -> Entry:
    """vLLM's line in OpenAI's form: a refusal is an answer with its status and an error body."""
    response = output.response
    if response is None:
        return entries.failed(output.custom_id, "engine_failed", _message(output.error))
    if response.status_code == 200 and output.error is None and bytes(response.body) != b"null":
        return entries.answered(output.custom_id, 200, bytes(response.body))
    status = response.status_code if response.status_code >= 400 else 500
    code = "engine_failed" if status >= 500 else "invalid_request"
    type_ = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": _message(output.error), "type": type_, "param": None, "code": code}
    return entries.answered(output.custom_id, status, json.dumps({"error": error}).encode())


def _message(error: Any) -> str:
    while isinstance(error, dict):
        error = error.get("error", error.get("message", ""))
    return str(error or "vllm gave no answer, and no reason")


def _write(path: Path, url: str, lines: Iterable[Line]) -> dict[str, int]:
    """The file vLLM reads. Returns the line number behind each custom id."""
    numbers: dict[str, int] = {}
    with path.open("wb") as out:
        for line in lines:
            request = {
                "custom_id": line.custom_id,
                "method": "POST",
                "url": url,
                "body": _on_one_line(line.body),
            }
            out.write(msgspec.json.encode(request) + b"\n")
            numbers[line.custom_id] = line.number
    return numbers


def _on_one_line(body: bytes) -> msgspec.Raw:
    """vLLM takes a carriage return for the end of a line."""
    return msgspec.Raw(msgspec.json.format(body, indent=-1))


def _end(process: subprocess.Popen[bytes]) -> None:
    """vLLM's engine is a process of its own; none of the session stays."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GOODBYE_SECONDS)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(code: int, left: int, said: Path) -> str:
    lines = [line.strip() for line in said.read_text(errors="replace").splitlines()[-200:] if line.strip()]
    words = lines[-1] if lines else "it said nothing"
    if code == 0:
        return f"vllm ended well and left {left} lines unanswered; its last words: {words}"
    if code in (-9, 137):
        return f"vllm was killed, perhaps for want of memory, with {left} lines left; lower max_in_flight"
    if code == 2:
        return f"this vllm doesn't take the command line it was given: {words}"
    ending = f"exit code {code}" if code > 0 else f"signal {-code}"
    return f"vllm ended with {ending} and {left} lines left: {words}"


def _weights(source: str) -> str:
    """What --model takes: a repository stays one, so that vLLM fetches it itself."""
    if source.startswith("hf://"):
        return source.removeprefix("hf://").partition("@")[0]
    return str(resolve(source))


def _rank(adapter: Path) -> int:
    try:
        rank = int(json.loads((adapter / "adapter_config.json").read_bytes())["r"])
        return next(known for known in LORA_RANKS if known >= rank)
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        what = f"no LoRA rank up to {LORA_RANKS[-1]} in adapter_config.json ({error!r})"
        raise InvalidModel(f"{adapter}: {what}; export the adapter again") from None
