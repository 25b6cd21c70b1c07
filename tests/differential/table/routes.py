"""Every route with every method, and paths that are none."""

from __future__ import annotations

from typing import Final

from tests.differential.rows import ask, row

__all__ = ["ROWS"]

_PATHS = (
    "/",
    "/health-check",
    "/openapi.json",
    "/predictions",
    "/predictions/<id>",
    "/predictions/<id>/cancel",
    "/trainings",
    "/trainings/<id>",
    "/trainings/<id>/cancel",
    "/shutdown",
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_NONE = (
    "/nothing",
    "/docs",
    "/predictions/",
    "/predictions//cancel",
    "/predictions/<id>/",
    "/predictions/<id>/nothing",
    "/predictions/<id>/cancel/",
    "/predictions/<id>/b/c",
    "/Predictions",
    "/health-check/",
    "/health-check/x",
    "//health-check",
    "/./health-check",
    "/../health-check",
    "/%2e%2e/health-check",
    "/health%2Dcheck",
    "/openapi.yaml",
    "*",
)

ROWS: Final = (
    *(
        row(f"{method} {path}", ask(method, path))
        for path in _PATHS
        for method in _METHODS
        if (method, path) != ("POST", "/shutdown")
    ),
    *(row(f"GET {path} (no route)", ask("GET", path)) for path in _NONE),
    *(row(f"POST {path} (no route)", ask("POST", path, {})) for path in _NONE[:4]),
    row("a query string on a GET", ask("GET", "/health-check?x=1&y")),
    row("a query string on a POST", ask("POST", "/predictions?wait=1", {"id": "<id>"})),
    row("a method of nobody's", ask("BREW", "/predictions")),
    row("a method in lower case", ask("post", "/predictions", {"id": "<id>"})),
    row("HTTP/1.0", ask("GET", "/health-check", version="1.0")),
    row("HTTP/1.0 with a body", ask("POST", "/predictions", {"id": "<id>"}, version="1.0")),
    row("a GET with a body", ask("GET", "/health-check", {"a": 1})),
    row("an absolute URL", ask("GET", "http://localhost/health-check")),
    row("a very long path", ask("GET", "/" + "x" * 4000)),
)
