"""The signer signs as botocore does, and the token is what the SageMaker SDK would make."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_stack.aws import bearer
from genai_stack.aws.signing import Key, Signer
from genai_stack.errors import GenAIStackError

NOW = dt.datetime(2026, 11, 24, 20, 7, 3, tzinfo=dt.UTC)
STAMP = "20261124T200703Z"
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
names = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz0123456789-"), min_size=1, max_size=20)
segments = st.text(max_size=20).map(lambda s: quote(s, safe="")).filter(lambda s: s not in ("", ".", ".."))
queries = st.lists(st.tuples(segments, st.text(max_size=10).map(lambda s: quote(s, safe=""))), max_size=4)


def oracle(monkeypatch: pytest.MonkeyPatch, key: Key, url: str, headers: dict[str, str], body: bytes) -> str:
    request = AWSRequest("POST", url, headers=headers, data=body)
    with monkeypatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda *_: NOW)
        SigV4Auth(Credentials(*key), "sagemaker", "eu-central-1").add_auth(request)
    return str(request.headers["Authorization"])


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(segments, min_size=1, max_size=4),
    query=queries,
    headers=st.dictionaries(
        names.filter(lambda n: n not in ("host", "date", "authorization", "expect", "user-agent")),
        printable,
        max_size=4,
    ),
    body=st.binary(max_size=200),
    token=st.none() | names,
)
def test_a_signature_is_botocores(
    parts: list[str], query: list[tuple[str, str]], headers: dict[str, str], body: bytes, token: str | None
) -> None:
    headers = {n: v for n, v in headers.items() if not n.startswith(("x-amz", "x-amzn-trace", "transfer-enc"))}
    key = Key("AKID", "secret/+=", token)
    path = "/" + "/".join(parts)
    asked = "&".join(f"{name}={value}" for name, value in query)
    url = f"https://runtime.sagemaker.eu-central-1.amazonaws.com{path}{'?' if asked else ''}{asked}"
    host = {"host": "runtime.sagemaker.eu-central-1.amazonaws.com"}
    signer = Signer("sagemaker", "eu-central-1")
    signed = signer.signed(key, "POST", path, {**headers, **host}, body, STAMP, asked)
    with pytest.MonkeyPatch.context() as patch:
        assert signed["authorization"] == oracle(patch, key, url, headers, body)
    assert signed.get("x-amz-security-token") == token
    again = signer.signed(key, "POST", path, {**headers, **host}, body, STAMP, asked)
    assert again == signed


def test_another_day_or_key_is_another_signature() -> None:
    signer = Signer("sagemaker", "eu-central-1")

    def signature(secret: str, now: str) -> str:
        return signer.signed(Key("A", secret), "POST", "/x", {"host": "h"}, b"", now)["authorization"]

    made = {signature(secret, now) for secret in ("a", "b") for now in (STAMP, "20261125T000000Z")}
    assert len(made) == 4
    assert signature("a", STAMP) in made


def test_the_token_is_a_presigned_request() -> None:
    """As sagemaker.core.token_generator makes it, part by part."""
    token = bearer.token(Credentials("AKID", "secret", "session"), "eu-central-1")
    told = base64.b64decode(token.removeprefix("sagemaker-api-key-")).decode()
    assert token.startswith("sagemaker-api-key-")
    assert told.startswith(
        "sagemaker.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Algorithm=AWS4-HMAC-SHA256"
    )
    assert told.endswith("&Version=1")
    asked: Any = parse_qs(urlsplit(f"https://{told}").query)
    assert asked["X-Amz-Expires"] == ["43200"]
    assert asked["X-Amz-SignedHeaders"] == ["host"]
    assert asked["X-Amz-Security-Token"] == ["session"]
    assert asked["X-Amz-Credential"][0].endswith("/eu-central-1/sagemaker/aws4_request")
    assert len(asked["X-Amz-Signature"][0]) == 64
    with pytest.raises(GenAIStackError, match="aws configure"):
        bearer.token(None, "eu-central-1")


def test_a_token_is_kept_for_a_while() -> None:
    now, made = [0.0], iter("abc")
    give = bearer.renewed(lambda: next(made), lambda: now[0])
    assert [give(), give()] == ["a", "a"]
    now[0] = bearer.RENEWED_AFTER
    assert give() == "a"
    now[0] += 1
    assert give() == "b"
