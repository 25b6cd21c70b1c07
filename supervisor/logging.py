"""The program's log: JSON lines in coglet's shape, or text for people, on stderr.

    {"timestamp":"…Z","level":"INFO","fields":{"message":"…","prediction_id":"…"},"target":"…"}

The target is the logger's name. What the libraries log through the standard library comes out the
same way. The values of secret variables are struck out wherever they would appear.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, Final

import structlog
from attrs import frozen

from supervisor.stderr import StderrWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from supervisor.config import Config

__all__ = ["configure_logging"]

_LEVELS: Final = {
    "trace": logging.NOTSET,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_WORDS: Final = {"warning": "WARN", "critical": "ERROR", "exception": "ERROR"}
"""Coglet's word for a level of ours, where it is not the same in capitals."""

_SECRET_LEAST: Final = 4
"""Characters; striking out a shorter value would tear every line apart and hide nothing."""


def configure_logging(config: Config) -> None:
    """Send everything that is logged from now on to stderr, as `config` says."""
    level = _LEVELS[config.log_level]
    secrets = [os.environ.get(name, "") for name in sorted(config.secret_environment)]
    secrets += [config.auth_token or "", config.webhook_auth_token or ""]  # flags, files
    renderer = _render_console() if config.log_format == "console" else [_render_json]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _add_target,
            *renderer,
            _StrikeOut.of(secrets),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_StderrLogger,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=level, handlers=[_Bridge()], force=True)
    logging.captureWarnings(capture=True)
    # They say at INFO what we say ourselves: the address, every request.
    for chatty in ("hypercorn", "httpx", "httpcore", "quart"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


_stderr: Final = StderrWriter()


class _StderrLogger:
    """Writes finished lines. A reader of stderr that has gone does not end the program."""

    def __init__(self, name: str = "supervisor") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        """Write one line."""
        _stderr.write((line + "\n").encode("utf-8", "backslashreplace"))

    debug = info = warning = error = critical = exception = log = msg


class _Bridge(logging.Handler):
    """Hands records of the standard library on to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record under its own logger's name."""
        log = structlog.get_logger(record.name)
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        known: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
        log.log(level, record.getMessage(), **known)


def _add_target(
    logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    event["logger"] = logger.name
    return event


def _render_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    level = event.pop("level")
    target = event.pop("logger")
    line = {
        "timestamp": event.pop("timestamp"),
        "level": _WORDS.get(level, level.upper()),
        "fields": {"message": str(event.pop("event", "")), **event},
        "target": target,
    }
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str)


def _render_console() -> list[structlog.typing.Processor]:
    colors = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    return [
        structlog.dev.ConsoleRenderer(
            colors=colors,
            pad_event_to=0,
            exception_formatter=structlog.dev.plain_traceback,
        )
    ]


@frozen
class _StrikeOut:
    """Replaces secrets in a finished line, as they stand there: plain, or as a JSON text."""

    forms: tuple[str, ...]

    @classmethod
    def of(cls, secrets: Iterable[str]) -> _StrikeOut:
        """The strike-out of these values."""
        long_enough = [secret for secret in secrets if len(secret) >= _SECRET_LEAST]
        written = [json.dumps(secret, ensure_ascii=False)[1:-1] for secret in long_enough]
        return cls(tuple(sorted({*long_enough, *written}, key=len, reverse=True)))

    def __call__(self, _logger: Any, _method: str, line: Any) -> str:
        text = str(line)
        for form in self.forms:
            text = text.replace(form, "[secret]")
        return text
