"""SageMaker's own OpenAI-compatible path, and the bearer token it takes.

The address: `/endpoints/<endpoint>/inference-components/<component>/openai/v1`, on which only `chat/completions` leads
anywhere; the caller's role needs `sagemaker:InvokeEndpoint` on both and `sagemaker:CallWithBearerToken` on `*`.
https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints-openai-compatible.html

The token is what the SageMaker SDK makes (sagemaker.core.token_generator, sagemaker-core 2.27.0): a request for the
action CallWithBearerToken, presigned for at most 12 hours, without its scheme, in base64 behind a prefix. It ends with
the credentials that signed it, where these end sooner.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

from genai_stack.errors import GenAIStackError
from genai_stack.ports import DirectAccess

from . import session

SECONDS = 12 * 3600
RENEWED_AFTER = 10 * 60.0
"""Seconds a token is used for: temporary credentials are good for a little longer than that, whenever it is made."""
ROUTES = ("/v1/chat/completions",)
_HOST = "sagemaker.amazonaws.com"
_PREFIX = "sagemaker-api-key-"


def access(base: str, region: str, endpoint: str, component: str) -> DirectAccess:
    """`base` is where sagemaker-runtime answers."""
    url = f"{base}/endpoints/{endpoint}/inference-components/{component}/openai/v1"
    return DirectAccess(url, renewed(lambda: token(session.credentials(), region)), ROUTES)


def renewed(make: Callable[[], str], clock: Callable[[], float] = time.monotonic) -> Callable[[], str]:
    """Gives what `make` made last, and has it made anew once that is older than RENEWED_AFTER."""
    kept = ("", 0.0)

    def give() -> str:
        nonlocal kept
        now = clock()
        if not kept[0] or now - kept[1] > RENEWED_AFTER:
            kept = (make(), now)
        return kept[0]

    return give


def token(credentials: Any, region: str, seconds: int = SECONDS) -> str:
    """`credentials` are botocore's or None; reading them may block. Raises GenAIStackError where there are none."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    if credentials is None:
        raise GenAIStackError("there are no AWS credentials here; run: aws configure, or set AWS_PROFILE")
    request = AWSRequest(
        "POST", f"https://{_HOST}/", headers={"host": _HOST}, params={"Action": "CallWithBearerToken"}
    )
    SigV4QueryAuth(credentials.get_frozen_credentials(), "sagemaker", region, expires=seconds).add_auth(request)
    presigned = f"{request.url.removeprefix('https://')}&Version=1"
    return _PREFIX + base64.b64encode(presigned.encode()).decode()
