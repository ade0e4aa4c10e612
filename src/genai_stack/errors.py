"""Every error this package raises on purpose. Each message says what is wrong and the next step.

GenAIStackError                       500 server_error
├── ConfigError                       a stack.toml that can't be used
├── InvalidSpec                       a training spec that can't be used
├── InvalidData                       training data that can't be used
├── InvalidDocument                   a file that no text can be taken from
├── InvalidModel                      weights or a tokenizer that can't be used, or mustn't be opened
├── NotDeployedError                  503 nothing answers in this stage yet
│   └── ModelWarming                  503 no copy of the model is up at this moment; one is coming
├── AlreadyRunning                    the port or the home directory is taken
├── StackNotReady                     the local stack did not come up
├── JobFailed                         a job ended without success
├── ConditionFailed                   409 a record changed under a conditional write
├── LimitReached                      429 a counter is at its ceiling
├── ObjectNotFound                    404 no object under that key
├── EngineFailed                      500 the engine died or broke while it answered
│   └── ModelFailed                   502 a hosted model, or what stands in front of it, did
└── RequestError                      400 invalid_request_error
    ├── Unauthorized                  401
    ├── Forbidden                     403
    ├── NotFound                      404
    ├── MethodNotAllowed              405
    ├── Conflict                      409 (never retried)
    ├── TooLarge                      413
    ├── RangeNotSatisfiable           416
    ├── ContextLengthExceeded         400 context_length_exceeded
    ├── Overloaded                    429 rate_limit_exceeded (retry after a moment)
    └── OutOfBudget                   429 insufficient_quota (never retried)

An API client sees one of these as OpenAI's error body: `{"error": {"message", "type", "param", "code"}}`.
"""

from __future__ import annotations

from typing import ClassVar


class GenAIStackError(Exception):
    """The root. `status`, `type`, `code` and `param` are what an HTTP client sees of it."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None
    """Seconds after which a retry may succeed; None where nothing is known."""
    should_retry: bool | None = None
    """Whether a client should retry at all; None leaves it to the client's own rule for the status."""

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.param = param or type(self).param

    def body(self) -> dict[str, dict[str, str | None]]:
        """OpenAI's error body, all four keys present."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class ConfigError(GenAIStackError):
    """`file` and `line` (1-based, None when unknown) point at the setting."""

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(where + message)
        self.file, self.line = file, line


class InvalidSpec(GenAIStackError):
    pass


class InvalidData(GenAIStackError):
    pass


class InvalidDocument(GenAIStackError):
    pass


class InvalidModel(GenAIStackError):
    pass


class NotDeployedError(GenAIStackError):
    status = 503
    code = "not_deployed"


class ModelWarming(NotDeployedError):
    """Loading, scaled to zero, being updated, or without a free machine: the same request succeeds later."""

    code = "model_warming"
    retry_after = 15.0
    should_retry = True


class AlreadyRunning(GenAIStackError):
    pass


class StackNotReady(GenAIStackError):
    pass


class JobFailed(GenAIStackError):
    pass


class ConditionFailed(GenAIStackError):
    status = 409
    type = "invalid_request_error"
    code = "conflict"
    should_retry = False


class LimitReached(GenAIStackError):
    status = 429
    type = "rate_limit_error"
    code = "limit_reached"
    should_retry = False


class ObjectNotFound(GenAIStackError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class EngineFailed(GenAIStackError):
    code = "engine_failed"


class ModelFailed(EngineFailed):
    status = 502


class RequestError(GenAIStackError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class Unauthorized(RequestError):
    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(RequestError):
    status = 403
    type = "permission_error"
    code = "forbidden"


class NotFound(RequestError):
    status = 404
    code = "not_found"


class MethodNotAllowed(RequestError):
    status = 405
    code = "method_not_allowed"


class Conflict(RequestError):
    status = 409
    code = "conflict"
    should_retry = False


class TooLarge(RequestError):
    status = 413
    code = "request_too_large"


class RangeNotSatisfiable(RequestError):
    """`size` is how many bytes there are."""

    status = 416
    code = "range_not_satisfiable"

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(message)
        self.size = size


class ContextLengthExceeded(RequestError):
    code = "context_length_exceeded"
    param = "messages"


class OutOfBudget(RequestError):
    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"
    should_retry = False


class Overloaded(RequestError):
    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retry_after: float | None = 1.0
