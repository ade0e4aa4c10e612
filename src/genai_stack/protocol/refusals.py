"""What a model's container answered when it didn't succeed, made fit for the client: same status where that means
the same to the client, always OpenAI's error body."""

from __future__ import annotations

import msgspec

from ..errors import EngineFailed, GenAIStackError, Overloaded


class _Error(msgspec.Struct):
    message: str
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _Body(msgspec.Struct):
    error: _Error


class ContainerRefusal(GenAIStackError):
    """A container's own refusal, with its status. 401, 403 and what isn't an error status would mislead the client,
    which has its key and its route right: those become 500."""

    def __init__(self, status: int, error: _Error) -> None:
        super().__init__(error.message, param=error.param, code=None if error.code is None else str(error.code))
        self.status = status  # type: ignore[misc]
        self.type = error.type or ("server_error" if status >= 500 else "invalid_request_error")  # type: ignore[misc]
        self.retry_after = Overloaded.retry_after if status == 429 else None


def refusal(status: int, body: bytes) -> GenAIStackError:
    """The error to raise for a container's answer other than 200."""
    if status in (401, 403) or not 400 <= status <= 599:
        return EngineFailed(
            f"The model server answered {status}; look at its log, then send the request again."
        )
    try:
        return ContainerRefusal(status, msgspec.json.decode(body, type=_Body).error)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = f"The model server answered {status} without saying why; send the request again."
        return ContainerRefusal(status, _Error(message))
