"""What the log looks like, and what never gets into it."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from datetime import UTC, datetime, timedelta

import attrs
import pytest
import structlog

from supervisor.config import Config
from supervisor.logging import configure_logging

CONFIG = Config("predict.py", secret_environment=frozenset({"WEBHOOK_AUTH_TOKEN"}))


@pytest.fixture(autouse=True)
def _restored():
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    for name in ("hypercorn", "httpx", "httpcore", "quart"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def lines(capsys):
    """The lines written so far, parsed."""

    def read() -> list[dict]:
        out, err = capsys.readouterr()
        assert out == ""
        return [json.loads(line) for line in err.splitlines()]

    return read


def test_a_line_has_coglets_shape(lines) -> None:
    configure_logging(CONFIG)
    structlog.get_logger("coglet::prediction").info("log1", prediction_id="w1", source="Stdout")
    (line,) = lines()
    written = datetime.fromisoformat(line.pop("timestamp"))
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=10)
    assert line == {
        "level": "INFO",
        "fields": {"message": "log1", "prediction_id": "w1", "source": "Stdout"},
        "target": "coglet::prediction",
    }


def test_the_keys_stand_in_coglets_order_and_the_time_is_utc(capsys) -> None:
    configure_logging(CONFIG)
    structlog.get_logger("t").info("m")
    line = capsys.readouterr().err
    assert list(json.loads(line)) == ["timestamp", "level", "fields", "target"]
    assert json.loads(line)["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("trace", ["DEBUG", "INFO", "WARN", "ERROR"]),
        ("debug", ["DEBUG", "INFO", "WARN", "ERROR"]),
        ("info", ["INFO", "WARN", "ERROR"]),
        ("warn", ["WARN", "ERROR"]),
        ("error", ["ERROR"]),
    ],
)
def test_levels_have_coglets_names_and_order(lines, level: str, shown: list[str]) -> None:
    configure_logging(attrs.evolve(CONFIG, log_level=level))
    log = structlog.get_logger("t")
    log.debug("m")
    log.info("m")
    log.warning("m")
    log.error("m")
    assert [line["level"] for line in lines()] == shown


def test_what_was_bound_is_in_the_line(lines) -> None:
    configure_logging(CONFIG)
    log = structlog.get_logger("t").bind(slot=3)
    with structlog.contextvars.bound_contextvars(prediction_id="p1"):
        log.info("m", n=1)
    (line,) = lines()
    assert line["fields"] == {"message": "m", "prediction_id": "p1", "slot": 3, "n": 1}


def test_text_of_any_kind_is_one_line(lines) -> None:
    configure_logging(CONFIG)
    structlog.get_logger("t").info("a\nb ü \udcff", value={1})
    (line,) = lines()
    assert line["fields"] == {"message": "a\nb ü \udcff", "value": "{1}"}


def test_an_exception_comes_with_its_traceback(lines) -> None:
    configure_logging(CONFIG)
    try:
        raise KeyError("gone")  # noqa: TRY301 - to have one
    except KeyError:
        structlog.get_logger("t").exception("m")
    (line,) = lines()
    assert line["level"] == "ERROR"
    assert line["fields"]["exception"].startswith("Traceback ")
    assert line["fields"]["exception"].endswith("KeyError: 'gone'")


def test_a_logger_made_before_the_configuration_follows_it(lines) -> None:
    log = structlog.get_logger("early")
    configure_logging(CONFIG)
    log.info("m")
    assert [line["target"] for line in lines()] == ["early"]


def test_the_standard_librarys_log_comes_out_the_same_way(lines) -> None:
    configure_logging(CONFIG)
    logging.getLogger("some.library").warning("%d of %d", 1, 2)
    logging.getLogger("some.library").debug("hidden")
    logging.getLogger("hypercorn.access").info("hidden too")
    (line,) = lines()
    assert line["level"] == "WARN"
    assert line["fields"] == {"message": "1 of 2"}
    assert line["target"] == "some.library"


def test_its_exceptions_and_odd_levels_too(lines) -> None:
    configure_logging(CONFIG)
    error = ValueError("boom")
    logging.getLogger("lib").critical("m", exc_info=error)
    logging.getLogger("lib").log(35, "between")
    first, second = lines()
    assert first["level"] == "ERROR"
    assert first["fields"]["exception"].endswith("ValueError: boom")
    assert second["level"] == "WARN"


def test_python_warnings_are_lines(lines) -> None:
    configure_logging(CONFIG)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", UserWarning, stacklevel=1)
    (line,) = lines()
    assert line["target"] == "py.warnings"
    assert "old ways" in line["fields"]["message"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_struck_out_wherever_they_stand(monkeypatch, capsys, log_format) -> None:
    monkeypatch.setenv("WEBHOOK_AUTH_TOKEN", 'tok"en-1234')
    configure_logging(attrs.evolve(CONFIG, log_format=log_format))
    log = structlog.get_logger("t")
    log.info('sent tok"en-1234', header={"authorization": ['Bearer tok"en-1234']})
    try:
        raise ValueError('bad token tok"en-1234')  # noqa: TRY301 - to have one
    except ValueError:
        log.exception("m")
    written = capsys.readouterr().err
    assert "en-1234" not in written
    assert written.count("[secret]") >= 3


def test_a_token_from_a_flag_or_a_file_is_struck_out(capsys) -> None:
    configure_logging(attrs.evolve(CONFIG, auth_token="tok-1234"))
    structlog.get_logger("t").info("sent tok-1234")
    written = capsys.readouterr().err
    assert "tok-1234" not in written
    assert "sent [secret]" in written


def test_a_secret_too_short_to_hide_tears_no_line_apart(monkeypatch, lines) -> None:
    monkeypatch.setenv("WEBHOOK_AUTH_TOKEN", "e")
    configure_logging(CONFIG)
    structlog.get_logger("t").info("letters")
    assert lines()[0]["fields"]["message"] == "letters"


def test_the_console_format_is_text_for_people(capsys) -> None:
    configure_logging(attrs.evolve(CONFIG, log_format="console"))
    structlog.get_logger("supervisor.x").warning("worker died", signal="SIGKILL")
    line = capsys.readouterr().err
    assert "worker died" in line
    assert "supervisor.x" in line
    assert "signal=SIGKILL" in line
    assert "\x1b" not in line  # no colours into a file


def test_a_reader_that_has_gone_does_not_end_the_program(monkeypatch, tmp_path) -> None:
    configure_logging(CONFIG)
    closed = (tmp_path / "gone").open("w")
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert structlog.get_logger("t").info("m") is None
