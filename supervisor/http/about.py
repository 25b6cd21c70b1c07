"""The routes that say what this server is and how it is: `/`, `/health-check`, `/openapi.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from supervisor.http.openapi import served_document
from supervisor.http.values import Response, json_response
from supervisor.interface import HealthReport, HealthState, Service, SetupReport
from supervisor.model_schema import documents_training
from supervisor.version import our_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervisor.http.ready_file import ReadyFile

__all__ = ["COMPATIBLE_COGLET", "discover", "health_check", "openapi", "request_shutdown"]

COMPATIBLE_COGLET: Final = "0.23.1"
"""The coglet whose HTTP API this one follows: what clients compare with goes by this number."""

_URLS: Final = {
    "docs_url": "/docs",
    "openapi_url": "/openapi.json",
    "shutdown_url": "/shutdown",
    "healthcheck_url": "/health-check",
    "predictions_url": "/predictions",
    "predictions_idempotent_url": "/predictions/{prediction_id}",
    "predictions_cancel_url": "/predictions/{prediction_id}/cancel",
}
_TRAINING_URLS: Final = {
    "trainings_url": "/trainings",
    "trainings_idempotent_url": "/trainings/{training_id}",
    "trainings_cancel_url": "/trainings/{training_id}/cancel",
}


def discover(service: Service, *, is_train: bool) -> Response:
    """`GET /`: where everything is. Trainings are listed if the worker trains.

    Coglet lists them in predict mode, too, where they run the predictor.
    """
    trainings = _TRAINING_URLS if is_train and documents_training(service.openapi()) else {}
    return json_response(200, {"cog_version": COMPATIBLE_COGLET, **_URLS, **trainings})


async def health_check(service: Service, ready_file: ReadyFile | None) -> Response:
    """`GET /health-check`: always 200; the first that finds READY makes the ready file."""
    report = await service.check_health()
    if ready_file is not None and report.state is HealthState.READY:
        ready_file.announce()
    return json_response(200, _health(report))


def openapi(service: Service) -> Response:
    """`GET /openapi.json`: the model's document, with every route of the server; or 503."""
    document = service.openapi()
    if document is None:
        return json_response(503, {"error": "OpenAPI schema not available"})
    return json_response(200, served_document(document))


def request_shutdown(service: Service) -> Response:
    """`POST /shutdown`: the same as SIGTERM, `--await-explicit-shutdown` or not."""
    service.request_shutdown()
    return json_response(200, {})


def _health(report: HealthReport) -> dict[str, Any]:
    body: dict[str, Any] = {"status": report.state.value}
    if report.setup is not None:
        body["setup"] = _setup(report.setup)
    body["version"] = _versions(report.versions)
    if report.user_healthcheck_error is not None:
        body["user_healthcheck_error"] = report.user_healthcheck_error
    return body


def _setup(setup: SetupReport) -> dict[str, str]:
    body = {"started_at": setup.started_at.isoformat()}
    if setup.completed_at is not None:
        body["completed_at"] = setup.completed_at.isoformat()
    body["status"] = setup.status.value
    if setup.logs:
        body["logs"] = setup.logs
    return body


def _versions(of_worker: Mapping[str, str]) -> dict[str, str]:
    """As coglet's; `git_sha` and `build_time` are of its binary and left out, ours is added."""
    named = {name: of_worker[name] for name in ("python_sdk", "python") if name in of_worker}
    return {"coglet": COMPATIBLE_COGLET, "coglet_trio": our_version(), **named}
