from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from supervisor.http.about import discover, health_check, openapi, request_shutdown
from supervisor.http.ready_file import READY_FILE, ReadyFile, ready_file
from supervisor.interface import HealthReport, HealthState, SetupReport, SetupStatus
from supervisor.model_schema import ModelSchema

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.supervisor.http.fake_service import FakeService


async def health(service: FakeService, ready: ReadyFile | None = None) -> Any:
    response = await health_check(service, ready)
    assert response.status == 200
    return json.loads(response.body)


def test_the_root_document_is_coglets(service: FakeService) -> None:
    response = discover(service, is_train=False)
    assert response.status == 200
    assert json.loads(response.body) == {
        "cog_version": "0.23.1",
        "docs_url": "/docs",
        "healthcheck_url": "/health-check",
        "openapi_url": "/openapi.json",
        "predictions_cancel_url": "/predictions/{prediction_id}/cancel",
        "predictions_idempotent_url": "/predictions/{prediction_id}",
        "predictions_url": "/predictions",
        "shutdown_url": "/shutdown",
    }


def test_the_root_document_lists_trainings_where_they_train(service: FakeService) -> None:
    service.schema = ModelSchema({"paths": {"/trainings": {}}}, is_train=True)
    listed = json.loads(discover(service, is_train=True).body)
    assert listed["trainings_url"] == "/trainings"
    assert listed["trainings_cancel_url"] == "/trainings/{training_id}/cancel"
    assert "trainings_url" not in json.loads(discover(service, is_train=False).body)
    service.schema = None
    assert "trainings_url" not in json.loads(discover(service, is_train=True).body)


async def test_health_of_a_ready_server(service: FakeService) -> None:
    body = await health(service)
    assert list(body) == ["status", "setup", "version"]
    assert body["status"] == "READY"
    assert body["setup"] == {
        "started_at": "2026-11-24T01:02:03.456000+00:00",
        "completed_at": "2026-11-24T01:02:03.456000+00:00",
        "status": "succeeded",
        "logs": "loading\n",
    }
    assert body["version"].pop("coglet_trio")
    assert body["version"] == {"coglet": "0.23.1"}


async def test_health_names_what_the_model_runs_on(service: FakeService) -> None:
    versions = {"python": "3.13.1", "python_sdk": "0.19.1", "coglet": "9"}
    service.report = attrs.evolve(service.report, versions=versions)
    version = (await health(service))["version"]
    assert (version["python"], version["python_sdk"]) == ("3.13.1", "0.19.1")
    assert version["coglet"] == "0.23.1", "what clients compare with is not the worker's to say"


async def test_health_leaves_out_what_is_not_known(service: FakeService) -> None:
    setup = SetupReport(SetupStatus.STARTING, service.report.setup.started_at)
    service.report = HealthReport(HealthState.STARTING, setup)
    body = await health(service)
    assert body["status"] == "STARTING"
    assert body["setup"] == {
        "started_at": "2026-11-24T01:02:03.456000+00:00",
        "status": "starting",
    }
    service.report = HealthReport(HealthState.UNKNOWN)
    assert list(await health(service)) == ["status", "version"]


async def test_health_names_what_the_models_healthcheck_said(service: FakeService) -> None:
    service.report = attrs.evolve(
        service.report, state=HealthState.UNHEALTHY, user_healthcheck_error="no GPU"
    )
    body = await health(service)
    assert (body["status"], body["user_healthcheck_error"]) == ("UNHEALTHY", "no GPU")


def test_the_models_document_is_served_with_our_routes(service: FakeService) -> None:
    document = {"openapi": "3.0.2", "paths": {"/z": {}, "/a": {}}}
    service.schema = ModelSchema(document, is_train=False)
    response = openapi(service)
    assert response.status == 200
    served = json.loads(response.body)
    assert served["openapi"] == "3.0.2"
    assert {"/z", "/a", "/predictions/{prediction_id}"} <= served["paths"].keys()


def test_without_a_document_there_is_503(service: FakeService) -> None:
    response = openapi(service)
    assert response.status == 503
    assert json.loads(response.body) == {"error": "OpenAPI schema not available"}


def test_shutdown_is_asked_for(service: FakeService) -> None:
    response = request_shutdown(service)
    assert (response.status, response.body) == (200, b"{}")
    assert service.shutdown_requests == 1


async def test_the_first_ready_health_check_makes_the_file(
    service: FakeService, tmp_path: Path
) -> None:
    file = tmp_path / "run" / "cog" / "ready"
    ready = ReadyFile(file)
    service.report = attrs.evolve(service.report, state=HealthState.BUSY)
    await health(service, ready)
    assert not file.exists()
    service.report = attrs.evolve(service.report, state=HealthState.READY)
    await health(service, ready)
    assert file.read_bytes() == b""
    file.unlink()
    await health(service, ready)
    assert not file.exists()


async def test_a_file_that_cannot_be_made_hurts_nobody(
    service: FakeService, tmp_path: Path
) -> None:
    (tmp_path / "in-the-way").write_text("")
    assert (await health(service, ReadyFile(tmp_path / "in-the-way" / "ready")))[
        "status"
    ] == "READY"


def test_the_file_is_for_kubernetes_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert ready_file() is None
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert ready_file() == ReadyFile(READY_FILE)
