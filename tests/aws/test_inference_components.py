"""The control plane as a host asks it, against botocore's service model of SageMaker (moto has no components)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from genai_stack import names
from genai_stack.aws.components import Components
from genai_stack.errors import EngineFailed, NotDeployedError, NotFound, Overloaded, RequestError
from genai_stack.ports import ModelVersion
from tests.aws.hosting import hosted

M, A = names.component("dev", "m"), names.component("dev", "a")
BASE, ADAPTER = ModelVersion("m", "x"), ModelVersion("a", "y", base="m")
ARN = "arn:aws:sagemaker:eu-central-1:123456789012:"


@pytest.fixture
def stub() -> Iterator[Stubber]:
    session = boto3.session.Session("a", "b", region_name="eu-central-1")
    with Stubber(session.client("sagemaker")) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def components(stub: Stubber) -> Components:
    return Components("dev", {"m": hosted("m")}, sagemaker=stub.client)


def described(
    stub: Stubber, component: str, *, status: str = "InService", copies: int | None = 1, base: str | None = None
) -> None:
    told: dict[str, Any] = {
        "InferenceComponentName": component,
        "InferenceComponentArn": f"{ARN}inference-component/{component}",
        "EndpointName": "e",
        "EndpointArn": f"{ARN}endpoint/e",
        "CreationTime": 0,
        "LastModifiedTime": 0,
        "InferenceComponentStatus": status,
        "FailureReason": "no machine of that kind",
        "Specification": {"BaseInferenceComponentName": base} if base else {"ModelName": "n"},
    }
    if copies is not None:
        told["RuntimeConfig"] = {"DesiredCopyCount": copies, "CurrentCopyCount": copies}
    stub.add_response("describe_inference_component", told, {"InferenceComponentName": component})


def absent(stub: Stubber, component: str) -> None:
    stub.add_client_error(
        "describe_inference_component",
        "ValidationException",
        f'Could not find inference component "{component}".',
        expected_params={"InferenceComponentName": component},
    )


def listed(stub: Stubber, *found: str, updating: tuple[str, ...] = ()) -> None:
    for status, there in (("InService", found), ("Updating", updating)):
        asked = {"EndpointNameEquals": names.endpoint("dev", "m"), "StatusEquals": status}
        stub.add_response("list_inference_components", {"InferenceComponents": rows(there)}, asked)


def rows(found: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {
            "CreationTime": 0,
            "InferenceComponentArn": f"{ARN}inference-component/{name}",
            "InferenceComponentName": name,
            "EndpointArn": f"{ARN}endpoint/e",
            "EndpointName": "e",
            "VariantName": "AllTraffic",
            "LastModifiedTime": 0,
        }
        for name in found
    ]


def copies_set(stub: Stubber, count: int) -> None:
    stub.add_response(
        "update_inference_component_runtime_config",
        {"InferenceComponentArn": f"{ARN}inference-component/{M}"},
        {"InferenceComponentName": M, "DesiredRuntimeConfig": {"CopyCount": count}},
    )


def test_what_is_up_has_a_copy(components: Components, stub: Stubber) -> None:
    listed(stub, M, A)
    described(stub, M)
    assert components.up() == {M, A}
    listed(stub, M, A)
    described(stub, M, copies=0)
    assert components.up() == frozenset()
    listed(stub, A, updating=(M,))
    described(stub, M, status="Updating")
    assert components.up() == {M, A}
    listed(stub)
    assert components.up() == frozenset()


@pytest.mark.parametrize("kind", ["asynchronous", "serverless"])
@pytest.mark.parametrize("status", ["InService", "OutOfService", None])
def test_a_model_without_components_is_up_with_its_endpoint(
    stub: Stubber, status: str | None, kind: str
) -> None:
    film = hosted("film", **{kind: True})
    asked = {"EndpointName": film.endpoint}
    if status is None:
        stub.add_client_error(
            "describe_endpoint", "ValidationException", "Could not find endpoint", expected_params=asked
        )
    else:
        told = {
            "EndpointName": film.endpoint,
            "EndpointArn": f"{ARN}endpoint/e",
            "EndpointStatus": status,
            "CreationTime": 0,
            "LastModifiedTime": 0,
        }
        stub.add_response("describe_endpoint", told, asked)
    components = Components("dev", {"film": film}, sagemaker=stub.client)
    assert components.up() == ({names.component("dev", "film")} if status == "InService" else frozenset())
    version = ModelVersion("film", "z", "video")
    components.wake(version, film)  # its machines come with the work
    with pytest.raises(RequestError, match="no components to move"):
        components.serve(film, version)


def test_waking_asks_for_what_is_missing(components: Components, stub: Stubber) -> None:
    described(stub, M)
    components.wake(BASE, hosted("m"))
    described(stub, M, copies=0)
    copies_set(stub, 1)
    components.wake(BASE, hosted("m"))
    described(stub, M, status="Creating")
    components.wake(ADAPTER, hosted("m"))
    for model, missing in ((ADAPTER, A), (BASE, M)):
        if missing == A:
            described(stub, M)
        absent(stub, missing)
        with pytest.raises(NotDeployedError, match="promote it, or deploy the hosting stack"):
            components.wake(model, hosted("m"))
    described(stub, M)
    described(stub, A, status="Failed", copies=None, base=M)
    with pytest.raises(EngineFailed, match="no machine of that kind"):
        components.wake(ADAPTER, hosted("m"))


def test_stopping(components: Components, stub: Stubber) -> None:
    described(stub, M)
    copies_set(stub, 0)
    components.stop(M)
    described(stub, A, copies=None, base=M)
    stub.add_response("delete_inference_component", {}, {"InferenceComponentName": A})
    components.stop(A)
    absent(stub, A)
    with pytest.raises(NotFound):
        components.stop(A)
    described(stub, A, status="Deleting", copies=None, base=M)
    with pytest.raises(NotFound):
        components.stop(A)


def test_a_busy_control_plane(components: Components, stub: Stubber) -> None:
    stub.add_client_error("list_inference_components", "ThrottlingException", "Rate exceeded")
    with pytest.raises(Overloaded):
        components.up()
