"""Stands in for the `vllm` program: the command line of `vllm run-batch`, its output file, and its ways to fail.

Argument names and the shape of the output are those of vLLM's run_batch.py; FAKE_VLLM says what goes wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from typing import Any


def answer(request: dict[str, Any]) -> dict[str, Any]:
    id = request["custom_id"]
    base = {"id": f"vllm-{id}", "custom_id": id, "error": None}
    told = {"status_code": 200, "request_id": f"vllm-batch-{id}"}
    text = request["body"]["messages"][-1]["content"]
    if text == "refuse me":
        problem = {"message": "too long", "type": "BadRequestError", "param": None, "code": 400}
        return {**base, "response": {**told, "status_code": 400, "body": None}, "error": {"error": problem}}
    if text == "break me":
        return {**base, "response": {**told, "status_code": 400, "body": None}, "error": "it raised"}
    body = {"id": "chatcmpl-1", "model": request["body"]["model"], "choices": [{"message": {"content": text}}]}
    body["usage"] = {"prompt_tokens": 2, "total_tokens": 3, "completion_tokens": 1}
    return {**base, "response": {**told, "body": body}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="vllm")
    batch = parser.add_subparsers(required=True).add_parser("run-batch")
    batch.add_argument("-i", "--input-file", required=True)
    batch.add_argument("-o", "--output-file", required=True)
    for name in ("model", "revision", "served-model-name", "max-num-seqs", "max-lora-rank", "lora-modules"):
        batch.add_argument(f"--{name}")
    batch.add_argument("--enable-lora", action="store_true")
    wrong, _, at = os.environ.get("FAKE_VLLM", "").partition(":")
    if wrong == "usage":
        sys.argv.append("--unheard-of")
    given = parser.parse_args()
    if wrong == "memory":
        print("INFO loading", file=sys.stderr)
        sys.exit("torch.OutOfMemoryError: CUDA out of memory.")
    with open(given.input_file) as asked, open(given.output_file, "w") as out:
        for number, line in enumerate(asked):
            if wrong and number == int(at or 0):
                fail(wrong, out)
                if wrong == "short":
                    return
            out.write(json.dumps(answer(json.loads(line))) + "\n")
            out.flush()


def fail(wrong: str, out: Any) -> None:
    if wrong == "torn":
        out.write('{"id": "vllm-x", "custom_')
        out.flush()
    if wrong == "foreign":
        out.write('{"id": "vllm-x", "custom_id": "nobody\'s", "response": null, "error": "x"}\n')
        out.flush()
    if wrong in ("killed", "torn"):
        os.kill(os.getpid(), signal.SIGKILL)
    if wrong == "crash":
        raise RuntimeError("Engine core died")
    if wrong == "hang":
        time.sleep(60)


main()
