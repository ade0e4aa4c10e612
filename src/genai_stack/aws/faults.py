"""What AWS answers when it refuses, as errors of this package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from genai_stack import names
from genai_stack.errors import GenAIStackError, NotDeployedError, Overloaded

THROTTLES = frozenset(
    (
        "BandwidthLimitExceeded", "LimitExceededException", "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException", "RequestLimitExceeded", "RequestThrottled",
        "RequestThrottledException", "ServiceUnavailable", "ServiceUnavailableException", "SlowDown",
        "ThrottledException", "Throttling", "ThrottlingException",
        "TooManyRequestsException", "TransactionInProgressException", "503", "429",
    )
)  # fmt: skip
"""botocore's own list (botocore.retries.standard.ThrottledRetryableChecker), and what S3 says when it is busy."""
BROKEN = frozenset(
    (
        "InternalError", "InternalFailure", "InternalServerError", "InternalServerException", "RequestTimeoutException",
        "500", "502", "504",
    )
)  # fmt: skip
"""A fault of AWS's own, still there after the client's retries; it passes."""
MISSING = frozenset(("NoSuchBucket", "NotFoundException", "ResourceNotFoundException", "ParameterNotFound"))
DENIED = frozenset(
    ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled", "403")
)
WHO = frozenset(
    (
        "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken",
        "MissingAuthenticationToken", "SignatureDoesNotMatch", "UnrecognizedClientException",
    )
)  # fmt: skip
ACTIONS = {
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "CompleteMultipartUpload": "s3:PutObject",
    "CopyObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "DeleteObjects": "s3:DeleteObject",
    "HeadBucket": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListObjectsV2": "s3:ListBucket",
    "UploadPart": "s3:PutObject",
    "UploadPartCopy": "s3:PutObject",
}
"""The permission an operation takes where it isn't the operation's own name."""


@contextmanager
def translated(service: str, what: str, layer: names.Layer = "training") -> Iterator[None]:
    """Raises what botocore raises in the block as one of ours: Overloaded when `service` throttles or breaks (after
    the client's own retries), NotDeployedError when `what` isn't there, else GenAIStackError. `what` names
    the resource."""
    try:
        yield
    except Exception as error:
        if "botocore" not in sys.modules:  # nobody has loaded it to raise anything
            raise
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            raise refusal(error, service, what, layer) from error
        if isinstance(error, BotoCoreError):
            raise unreachable(f"can't reach {what}", error) from error
        raise


def code_of(error: Any) -> str:
    """The error code of a botocore ClientError; a status ("404") where a HEAD request has nothing else to say."""
    return str(error.response.get("Error", {}).get("Code", ""))


def refusal(error: Any, service: str, what: str, layer: names.Layer) -> GenAIStackError:
    """The error that a ClientError stands for."""
    code, operation = code_of(error), str(error.operation_name)
    said = str(error.response.get("Error", {}).get("Message", "")) or code
    if code in THROTTLES | BROKEN:
        return Overloaded(f"{what} is busy ({code}); try again in a moment")
    if code in MISSING:
        return NotDeployedError(f"{what} doesn't exist; {names.remedy(layer)}")
    if code in DENIED:
        action = ACTIONS.get(operation, f"{service}:{operation}")
        return GenAIStackError(
            f"these credentials may not {action} on {what}; allow it, or use others ({said})"
        )
    if code in WHO:
        return GenAIStackError(f"AWS doesn't accept these credentials for {what}: {said}; renew them")
    return GenAIStackError(f"{service}:{operation} on {what} failed: {code}: {said}")


def unreachable(told: str, error: Exception) -> GenAIStackError:
    """The error for a request that never got an answer, or never left."""
    return GenAIStackError(f"{told}: {error}; check the AWS region, the credentials and the network")
