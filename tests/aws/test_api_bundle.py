"""The very bundle that deploys, built for this machine's processor, unpacked into an empty folder and started by its
own run.sh against the account on this machine; asked by the unmodified openai client."""

from __future__ import annotations

import base64
import http.client
import io
import json
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import docx
import msgspec
import pytest
from aiohttp import web
from click.testing import CliRunner
from openai import APIStatusError, AuthenticationError, NotFoundError, OpenAI

from genai_stack import GenAIStack, names
from genai_stack.cli.root import root
from genai_stack.config import ServiceConfig
from genai_stack.service.keys import CACHE_SECONDS
from tests.aws.account import Account
from tests.aws.api_bundle import environment_of, started
from tests.aws.hosting import hosted
from tests.aws.runtime_stand_in import Call, StandIn, model_error, part, raw

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a bundle's wheels are Linux's")
HELLO: Any = [{"role": "user", "content": "prompt-canary-5d1f"}]
CONTEXT = json.dumps({"authorizer": {"principalId": "master"}, "identity": {"apiKey": "master"}})


class Api(NamedTuple):
    port: int
    stage: str
    key: str
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): v for name, v in headers.items()})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cdk.constructs.api_bundle import bundle_api
    from cdk.constructs.bundles import HERE

    into = tmp_path_factory.mktemp("api")
    bundle_api(ServiceConfig(max_body_bytes=4096), into, HERE)
    return into


@pytest.fixture
def api(
    bundle: Path, aws: Account, stage: str, upstream: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Api]:
    """A stage with the models `m` and `e` and one key, made as the guide says; nothing but the account is known to the
    API."""
    ssm = aws.client("ssm")
    for model in (hosted("m"), msgspec.structs.replace(hosted("e"), task="embedding")):
        where = names.parameter(stage, "hosting", names.hosted(model.name))
        ssm.put_parameter(Name=where, Value=msgspec.json.encode(model).decode(), Type="String")
    made = CliRunner().invoke(root, ["keys", "create", "first", "--stage", stage], catch_exceptions=False)
    key = made.stdout.strip()
    environment = environment_of(aws.environment, stage, upstream.url)
    with started(bundle, tmp_path / "bin", environment) as (port, _):
        url = f"http://127.0.0.1:{port}/v1"
        ssm.put_parameter(Name=names.parameter(stage, "service", "api-url"), Value=url, Type="String")
        monkeypatch.setenv("GENAI_STACK_API_KEY", key)
        yield Api(port, stage, key, tmp_path / "bin" / "log")


def chunk(**more: Any) -> bytes:
    about = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **more}
    return b"data: " + json.dumps(about).encode() + b"\n\n"


def said(text: str | None, finish: str | None = None) -> bytes:
    delta = {} if text is None else {"content": text}
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


async def answer(call: Call, request: web.Request) -> web.StreamResponse | None:
    """As vLLM answers, whole or in frames that end where they like."""
    if call.path.endswith("-response-stream"):
        whole = said("grö") + said("ßer") + said(None, "stop") + b"data: [DONE]\n\n"
        return await raw(b"".join(part(whole[at : at + 70]) for at in range(0, len(whole), 70)))(call, request)
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "größer"}}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    about = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return web.json_response({**about, "choices": [choice], "usage": usage})


def test_the_bundle_answers_the_openai_client(api: Api, upstream: StandIn) -> None:
    upstream.script = answer
    with GenAIStack.deployed(api.stage) as stack:
        assert stack.endpoint.base_url == api.url
        client = stack.service.openai
        assert "m" in {model.id for model in client.models.list()}
        whole = client.chat.completions.create(model="m", messages=HELLO)
        assert (whole.choices[0].message.content, whole.usage and whole.usage.total_tokens) == ("größer", 5)
        pieces = list(client.chat.completions.create(model="m", messages=HELLO, stream=True))
        assert [p.choices[0].delta.content for p in pieces] == ["grö", "ßer", None]
        kept = client.files.create(file=("a.jsonl", b'{"a": 1}\n'), purpose="batch")
        assert client.files.content(kept.id).read() == b'{"a": 1}\n'
        with pytest.raises(NotFoundError) as unknown:
            client.chat.completions.create(model="nobody", messages=HELLO)
        assert unknown.value.code == "model_not_found"
    assert [call.component for call in upstream.calls] == [names.component(api.stage, "m")] * 2
    assert all(call.headers["authorization"].startswith("AWS4-HMAC-SHA256 ") for call in upstream.calls)
    with (
        OpenAI(base_url=api.url, api_key=api.key, max_retries=0) as client,
        pytest.raises(APIStatusError) as large,
    ):
        client.embeddings.create(model="m", input="x" * 5000)
    assert large.value.status_code == 413
    assert "4096 bytes" in large.value.message
    log = api.log.read_text()
    entries = [json.loads(line) for line in log.splitlines()]
    assert {entry["event"] for entry in entries} == {"request"}
    assert api.key not in log
    assert "canary" not in log


async def embeds(call: Call, request: web.Request) -> web.StreamResponse | None:
    """As vLLM does, which has no way to its tokens here."""
    if call.headers["x-amzn-sagemaker-custom-attributes"] != "route=/v1/embeddings":
        return model_error(404, '{"error": {"message": "Not Found"}}')
    rows = [(1.0, float("dog" in text), float("cat" in text)) for text in json.loads(call.body)["input"]]
    vectors = [base64.b64encode(struct.pack("<3f", *row)).decode() for row in rows]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return web.json_response({"data": [{"embedding": vector} for vector in vectors], "usage": usage})


def test_the_bundle_reads_documents_and_finds_what_they_say(api: Api, upstream: StandIn) -> None:
    upstream.script = embeds
    letter, content = docx.Document(), io.BytesIO()
    letter.add_paragraph("A cat on the mat.")
    letter.save(content)
    with OpenAI(base_url=api.url, api_key=api.key, max_retries=0) as client:
        store = client.vector_stores.create(name="pets")
        for name, text in (("letter.docx", content.getvalue()), ("note.md", b"A dog in the fog.")):
            file = client.files.create(file=(name, text), purpose="assistants")
            client.vector_stores.files.create(vector_store_id=store.id, file_id=file.id)
        assert client.vector_stores.retrieve(store.id).file_counts.completed == 2
        for query, name in (("cat", "letter.docx"), ("dog", "note.md"), ("mat", "letter.docx")):
            assert client.vector_stores.search(store.id, query=query).data[0].filename == name


def test_nothing_but_a_key_that_isn_t_revoked_says_who_asks(api: Api) -> None:
    """What an adapter or a proxy adds to a request is the client's to send, too, where nothing strips it."""
    forged = {
        "x_amzn_request_context": CONTEXT,
        "x_amzn_lambda_context": json.dumps({"identity": {"cognitoIdentityId": "master"}}),
        "x_amz_security_token": "testing",
        "x_api_key": api.key,
        "x_forwarded_user": "master",
        "forwarded": 'for=127.0.0.1;by="master"',
        "cookie": f"key={api.key}",
    }
    status, body = api.get("/v1/models", **forged)
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    status, body = api.get(f"/v1/models?api_key={api.key}", **forged)
    assert status == 401
    status, _ = api.get("/v1/models", authorization=f"Bearer {api.key}", x_request_id="asked-1", **forged)
    assert status == 200
    entry = next(e for e in map(json.loads, api.log.read_text().splitlines()) if e["request_id"] == "asked-1")
    assert entry["key"] == api.key.split("-")[2]
    unknown = "sk-gs-" + "0" * 16 + "-" + "A" * 43
    with (
        OpenAI(base_url=api.url, api_key=unknown, max_retries=0) as stranger,
        pytest.raises(AuthenticationError),
    ):
        stranger.models.list()
    id = api.key.split("-")[2]
    assert id in CliRunner().invoke(root, ["keys", "list", "--stage", api.stage], catch_exceptions=False).output
    CliRunner().invoke(root, ["keys", "revoke", id, "--stage", api.stage], catch_exceptions=False)
    deadline = time.monotonic() + 3 * CACHE_SECONDS
    while api.get("/v1/models", authorization=f"Bearer {api.key}")[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
