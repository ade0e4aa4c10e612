"""`/v1/anatomy` on a serverless endpoint: what AWS's inference container calls, by the `code/inference.py` that travels
with the weights.

The container's server (aws/sagemaker-huggingface-inference-toolkit) calls `model_fn` once with the folder that the
archive was unpacked into, and `transform_fn` for each request, with a context that takes the status to answer with.
"""

from __future__ import annotations

import http
import sys
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import EngineFailed, GenAIStackError, RequestError
from ...protocol import AnatomyRequest, decode, problems
from ..architecture import model_type, read_architecture, read_encoder
from ..text import Text, load_text
from .dissect import dissect, encode
from .layer import Model
from .opening import open_model

WEIGHTS = "model"
"""The folder of the archive that holds the model, beside `code`."""
MOST = 6_000_000
"""Bytes of an answer that a serverless endpoint passes on."""


class Opened(NamedTuple):
    """`context` is the model's window in tokens."""

    model: Model
    text: Text
    context: int


def model_fn(folder: str) -> Opened:
    """Raises InvalidModel."""
    directory = Path(folder) / WEIGHTS
    if model_type(directory) == "bert":
        context = read_encoder(directory).max_position_embeddings
    else:
        context = read_architecture(directory).context
    return Opened(open_model(directory), load_text(directory), context)


def transform_fn(opened: Opened, body: str | bytes, kind: str, accept: str, context: Any) -> bytes:
    """The answer, or OpenAI's error body, whose status is told to `context`."""
    try:
        return answered(opened, body.encode() if isinstance(body, str) else bytes(body))
    except GenAIStackError as error:
        problem = error
    except Exception:
        traceback.print_exc(file=sys.stderr)
        problem = EngineFailed("The model failed on this text; see the endpoint's log.", code="internal_error")
    context.set_response_status(problem.status, http.HTTPStatus(problem.status).phrase, 0)
    return problems.body(problem)


def answered(opened: Opened, body: bytes) -> bytes:
    """What the route answers with. Raises RequestError and its kin."""
    request = decode(AnatomyRequest, body)
    found = encode(dissect(opened.model, opened.text, request, context=opened.context))
    if len(found) > MOST:
        raise RequestError(
            f"The answer has {len(found):,} bytes, and {MOST:,} is the most of a serverless endpoint; choose 'layers', "
            "'positions' or 'steps', take 'heads': 'mean', or lower 'attention_top', 'top_k' or 'neighbours'.",
            code="answer_too_large",
        )
    return found
