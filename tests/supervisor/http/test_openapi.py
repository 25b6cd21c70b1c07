"""The document as it is served: the model's own words kept, ours added, and all of it valid."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest

from supervisor.config import Config
from supervisor.http import about
from supervisor.http.app import create_app
from supervisor.http.draining import Draining
from supervisor.http.lookup import get_prediction, list_predictions
from supervisor.http.openapi import served_document
from supervisor.http.predictions import create_prediction, put_prediction
from supervisor.http.stream import Streaming
from supervisor.http.values import Request
from supervisor.interface import AtCapacity, NotReady
from supervisor.model_schema import ModelSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervisor.http.values import Response
    from tests.supervisor.http.fake_service import FakeService

PREDICT: dict[str, Any] = {
    "openapi": "3.0.2",
    "info": {"title": "Cog", "version": "0.23.1"},
    "components": {
        "schemas": {
            "Input": {"type": "object", "properties": {"text": {"type": "string"}}},
            "Output": {"type": "string"},
            "PredictionRequest": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "title": "Id"},
                    "input": {"$ref": "#/components/schemas/Input"},
                },
            },
            "PredictionResponse": {
                "type": "object",
                "properties": {"output": {"$ref": "#/components/schemas/Output"}},
            },
        }
    },
    "paths": {
        "/": {"get": {"operationId": "root", "responses": {"200": {"description": "theirs"}}}},
        "/predictions": {
            "post": {
                "operationId": "predict",
                "x-cog-streaming": True,
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/PredictionRequest"}
                        }
                    }
                },
                "responses": {
                    "200": {
                        "description": "theirs",
                        "content": {
                            "application/json": {
                                "schema": {"$ref": "#/components/schemas/PredictionResponse"}
                            }
                        },
                    },
                    "422": {"description": "theirs"},
                },
            }
        },
        "/predictions/{prediction_id}/cancel": {
            "post": {
                "operationId": "cancel",
                "parameters": [
                    {"in": "path", "name": "prediction_id", "required": True, "schema": {}}
                ],
                "responses": {"200": {"description": "theirs"}},
            }
        },
    },
}
TRAIN: dict[str, Any] = json.loads(
    json.dumps(PREDICT)
    .replace("Prediction", "Training")
    .replace("prediction", "training")
    .replace('"Input"', '"TrainingInput"')
    .replace("schemas/Input", "schemas/TrainingInput")
    .replace('"predict"', '"train"')
    .replace('"cancel"', '"cancel_training"')
)
BOTH: dict[str, Any] = {
    **PREDICT,
    "paths": PREDICT["paths"] | TRAIN["paths"],
    "components": {"schemas": PREDICT["components"]["schemas"] | TRAIN["components"]["schemas"]},
}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def kept(theirs: Any, ours: Any, place: str = "") -> None:
    """Assert that `ours` says all that `theirs` says; but for 422."""
    if isinstance(theirs, dict) and not place.endswith("/422"):
        assert isinstance(ours, dict), place
        for name, value in theirs.items():
            kept(value, ours[name], f"{place}/{name}")
    elif isinstance(theirs, list):
        assert ours[: len(theirs)] == theirs, place
    elif not place.endswith("/422"):
        assert ours == theirs, place


@pytest.mark.parametrize("document", [PREDICT, TRAIN, BOTH, {}, {"paths": {"/predictions": []}}])
def test_what_the_model_says_is_kept(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    kept(document, served_document(document))
    assert document == before


@pytest.mark.parametrize("document", [PREDICT, TRAIN, BOTH, {}])
def test_both_kinds_are_described_as_both_are_answered(document: dict[str, Any]) -> None:
    paths = served_document(document)["paths"]
    assert {"/trainings/{training_id}", "/predictions/{prediction_id}"} <= set(paths)


def test_the_input_of_either_kind_is_what_it_is_checked_by() -> None:
    body = {
        path: served_document(document)["paths"][path]["post"]["requestBody"]["content"]
        for path, document in (("/trainings", PREDICT), ("/predictions", TRAIN))
    }
    names = {
        path: content["application/json"]["schema"]["properties"]["input"]["$ref"]
        for path, content in body.items()
    }
    assert names == {
        "/trainings": "#/components/schemas/Input",
        "/predictions": "#/components/schemas/TrainingInput",
    }


def test_every_route_is_described_and_every_description_has_a_route(service: FakeService) -> None:
    app = create_app(service, Config("model.py"), Draining(), None)
    routes = {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }
    described = {
        (method, re.sub(r"{(?:\w+_)?(\w+)}", r"<\1>", path))
        for method, path, _ in operations(served_document(BOTH))
    }
    assert described == routes


def test_every_reference_leads_somewhere_and_every_name_of_an_operation_is_its_own() -> None:
    served = served_document(BOTH)
    text = json.dumps(served)
    for part in text.split('"#/components/schemas/')[1:]:
        assert part.partition('"')[0] in served["components"]["schemas"]
    names = [operation["operationId"] for _, _, operation in operations(served)]
    linked = {
        link["operationId"]
        for _, _, operation in operations(served)
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    }
    assert len(set(names)) == len(names)
    assert linked <= set(names)


@pytest.mark.parametrize(
    ("path", "method", "place"),
    [
        ("/predictions", "post", "$response.body#/id"),
        ("/predictions/{prediction_id}", "put", "$request.path.prediction_id"),
    ],
)
def test_links_lead_from_a_prediction_to_all_that_can_be_done_with_it(
    path: str, method: str, place: str
) -> None:
    answers = served_document(PREDICT)["paths"][path][method]["responses"]
    ended = {"get_prediction", "put_prediction", "stream_prediction"}
    assert answers["200"]["links"].keys() == ended
    assert answers["202"]["links"].keys() == {*ended, "cancel_prediction"}
    # The model's document has a name of its own for the operation.
    assert answers["202"]["links"]["cancel_prediction"]["operationId"] == "cancel"
    for link in answers["202"]["links"].values():
        assert link["parameters"] == {"prediction_id": place}


@pytest.mark.parametrize(("required", "wanted"), [([], False), (["text"], True)])
def test_a_body_is_needed_if_an_input_is(required: list[str], wanted: bool) -> None:
    document = copy.deepcopy(PREDICT)
    document["components"]["schemas"]["Input"]["required"] = required
    document["components"]["schemas"]["PredictionRequest"]["required"] = ["id"]
    served = served_document(document)
    request = served["components"]["schemas"]["PredictionRequest"]
    assert request["required"] == (["id", "input"] if wanted else ["id"])
    for path, method in (("/predictions", "post"), ("/predictions/{prediction_id}", "put")):
        body = served["paths"][path][method]["requestBody"]
        assert body["required"] is wanted
    schema = body["content"]["application/json"]["schema"]
    assert schema["properties"].keys() == request["properties"].keys()


def with_null(node: Any) -> Any:
    """`nullable`, which the validator does not know, in the words of JSON Schema."""
    if isinstance(node, list):
        return [with_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {name: with_null(child) for name, child in node.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


def assert_described(
    response: Response, method: str, path: str, document: dict[str, Any] = PREDICT
) -> None:
    served = served_document(document)
    answers = served["paths"][path][method]["responses"]
    schema = answers[str(response.status)]["content"][response.content_type]["schema"]
    whole = {**schema, "components": served["components"]}
    jsonschema_rs.validate(with_null(whole), json.loads(response.body))


async def test_the_answers_are_those_that_are_described(service: FakeService) -> None:
    service.schema = ModelSchema(PREDICT, is_train=False)
    streaming = Streaming(strict=True)
    json_type = {"content-type": "application/json"}
    path, one = "/predictions", "/predictions/{prediction_id}"

    async def post(body: str, **headers: str) -> Response:
        return await create_prediction(
            service, Request({**json_type, **headers}, body.encode()), streaming
        )

    seen = [await post('{"id":"p1"}'), await post("{}", prefer="respond-async")]
    seen += [await post("garbage"), await post("[]"), await post('{"input":{"text":5}}')]
    seen += [await post("{}", **{"content-type": "text/plain"})]
    service.hold = True
    seen += [await post('{"id":"p2"}', prefer="wait=0"), await post('{"id":"p2"}')]
    for refusal in (AtCapacity(), NotReady("Wait.", retry_after=1.0)):
        service.refusal = refusal
        seen += [await post("{}")]
    assert [response.status for response in seen] == [
        *(200, 202, 400, 422, 422, 415),
        *(202, 409, 409, 503),
    ]
    for response in seen:
        assert_described(response, "post", path)
    put = await put_prediction(service, Request(json_type, b"{}"), "p2", streaming)
    assert put.status == 202
    assert_described(put, "put", one)
    for name, status in (("p1", 200), ("p2", 200), ("p3", 404)):
        got = await get_prediction(service, name)
        assert got.status == status
        assert_described(got, "get", one)
    for query, status in (({"limit": "1"}, 200), ({}, 200), ({"limit": "x"}, 422)):
        got = await list_predictions(service, Request(query=query), path, is_allowed=True)
        assert got.status == status
        assert_described(got, "get", path)
    forbidden = await list_predictions(service, Request(), path, is_allowed=False)
    assert_described(forbidden, "get", path)
    assert_described(about.openapi(service), "get", "/openapi.json")
