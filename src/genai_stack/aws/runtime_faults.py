"""What sagemaker-runtime answers when it doesn't answer 200, and what a stream breaks off with, as errors of ours.

Types and statuses: botocore's service model of sagemaker-runtime, 2017-05-13. An inference component without a copy,
"has no capacity to process this request", is a ValidationError; only its message tells it from a mistake of ours.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from genai_stack import names
from genai_stack.errors import (
    EngineFailed,
    GenAIStackError,
    ModelFailed,
    ModelWarming,
    NotDeployedError,
    Overloaded,
    RequestError,
    TooLarge,
)
from genai_stack.ports import Reply

from .faults import DENIED, THROTTLES, WHO
from .frames import Fault

JSON = "application/json"
_WHO = WHO | {"InvalidSignatureException", "IncompleteSignatureException", "IncompleteSignature"}
_WARMING = re.compile(
    r"no capacity|not (?:yet )?(?:ready|in ?service)|(?:is|being) (?:updat|creat|load|provision)|"
    r"status:? '?(?:Creating|Updating|SystemUpdating)",
    re.IGNORECASE,
)
_MISSING = re.compile(r"not found|does ?n[o']t exist|could not find", re.IGNORECASE)
_LONG = re.compile(
    r"length less than or equal to|payload.{0,40}(?:large|exceed)|size.{0,40}exceed", re.IGNORECASE
)


class _Told(msgspec.Struct, rename="pascal"):
    message: str = ""
    original_status_code: int = 0
    original_message: str = ""
    error_code: str = ""


class _OpenAIBody(msgspec.Struct):
    class Error(msgspec.Struct):
        message: str

    error: Error


def answered(status: int, kind: str, wait: str | None, body: bytes, *, model: str, stage: str) -> Reply:
    """The container's own refusal as a Reply, where the answer carries one; else raises what it means.

    `kind` is the `x-amzn-errortype` header, `wait` is `retry-after`. Raises Overloaded, ModelWarming, NotDeployedError,
    TooLarge, RequestError (400: the container refused, in words of its own), ModelFailed (502), GenAIStackError."""
    told = _told(body)
    code = kind.partition(":")[0] or _code(body)
    said = told.message or code or f"status {status}"
    if code == "ModelError" or status == 424:
        return _containers(told, model)
    if code == "ModelNotReadyException" or (code in ("ValidationError", "") and _WARMING.search(said)):
        raise _after(ModelWarming(_warming(model)), wait)
    if code in ("ServiceUnavailable", "ServiceUnavailableException") or status == 503:
        raise _after(ModelWarming(f"SageMaker has no copy of {model!r} free ({said}); try again"), wait)
    if code in THROTTLES or status == 429:
        raise _after(Overloaded(f"SageMaker throttles requests to {model!r}; try again in a moment"), wait)
    if code in _WHO:
        raise GenAIStackError(f"AWS doesn't accept these credentials for {model!r}: {said}; {_renew(said)}")
    if code in DENIED or status == 403:
        denied = GenAIStackError(
            f"these credentials may not ask {model!r}; allow them sagemaker:InvokeEndpoint on its endpoint and "
            f"inference component ({said})"
        )
        denied.should_retry = False
        raise denied
    if status == 413 or _LONG.search(said):
        raise TooLarge(f"the request is too large for SageMaker ({said}); send less at a time")
    if _MISSING.search(said):
        raise NotDeployedError(
            f"nothing answers as {model!r} in stage {stage!r} ({said}); {names.remedy('hosting', stage)}"
        )
    raise ModelFailed(f"SageMaker couldn't pass the request to {model!r}: {code}: {said}; try again")


def broke_off(fault: Fault, model: str) -> EngineFailed:
    """The error for a stream that said why it ended early."""
    told = _told(fault.told)
    said = told.message or fault.told[:200].decode(errors="replace") or fault.kind
    if told.error_code == "ModelInvocationTimeExceeded":
        return ModelFailed(
            f"{model!r} took longer than SageMaker lets an answer take; ask for less, or fewer tokens",
            code="model_timeout",
        )
    return ModelFailed(f"{model!r} broke off in the middle of its answer ({fault.kind}: {said}); try again")


def no_credentials_left(status: int, kind: str, body: bytes) -> bool:
    """Whether the answer says that the key has to be looked up anew."""
    return status in (400, 401, 403) and (kind.partition(":")[0] or _code(body)) in _WHO


def _containers(told: _Told, model: str) -> Reply:
    status, said = told.original_status_code, told.original_message
    if 400 <= status <= 599 and _is_openai(said):
        return Reply(status, JSON, said.encode())
    words = said[:500] or told.message or "it didn't say why"
    if 400 <= status < 500:
        raise RequestError(f"{model!r} refused the request ({status}): {words}", code="model_error")
    raise ModelFailed(f"{model!r} failed on the request ({status or 'no status'}): {words}; try again")


def _is_openai(said: str) -> bool:
    try:
        msgspec.json.decode(said, type=_OpenAIBody)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _told(body: bytes) -> _Told:
    """Both `Message` and `message` are in use."""
    try:
        fields: Any = msgspec.json.decode(body)
        if "message" in fields and "Message" not in fields:
            fields["Message"] = fields["message"]
        return msgspec.convert(fields, _Told, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError):
        return _Told(body[:200].decode(errors="replace").strip())


def _code(body: bytes) -> str:
    try:
        told: Any = msgspec.json.decode(body)
        return str(told.get("__type") or told.get("code") or "").rpartition("#")[2]
    except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError, RecursionError):
        return ""


def _after(error: GenAIStackError, wait: str | None) -> GenAIStackError:
    if wait is not None and wait.isdecimal() and len(wait) < 6:
        error.retry_after = float(wait)
    return error


def _warming(model: str) -> str:
    return (
        f"no copy of {model!r} is up yet, and one is coming; try again in a moment, or send the header "
        "x-genai-wait with the seconds you would wait"
    )


def _renew(said: str) -> str:
    if "Signature expired" in said or "not yet current" in said:
        return "set this machine's clock"
    return "renew them (aws sso login, or a new key)"
