"""From flags and environment to a Config: precedence, tolerance, refusals, notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from supervisor.cli.options import AUTH_TOKEN_FILE, GROUPS, OPTIONS, default_of
from supervisor.cli.resolve import UsageError, resolve, secret_variables
from supervisor.cli.values import SECONDS, SIZE, TEXT
from supervisor.config import Config, Limits, Times, WorkerOptions

if TYPE_CHECKING:
    from pathlib import Path

REF = {"ref": "predict.py:Predictor"}


def configured(flags: dict[str, str] | None = None, **environ: str) -> Config:
    return resolve(REF | (flags or {}), environ).config


def notices(flags: dict[str, str] | None = None, **environ: str) -> list[str]:
    return resolve(REF | (flags or {}), environ).notices


# --- the table ---------------------------------------------------------------------------------


def test_every_field_of_the_configuration_has_exactly_one_row() -> None:
    fields = {field.name for field in attrs.fields(Config)} - {"worker", "times", "limits"}
    fields |= {f"worker.{field.name}" for field in attrs.fields(WorkerOptions)}
    fields |= {f"times.{field.name}" for field in attrs.fields(Times)}
    fields |= {f"limits.{field.name}" for field in attrs.fields(Limits)}
    fields.discard("secret_environment")  # follows from the rows
    fields.discard("worker_descriptors")  # follows from the limit that we were started with
    rows = [option.field for option in OPTIONS if option is not AUTH_TOKEN_FILE]
    assert sorted(rows) == sorted(fields)


def test_names_are_unique_and_every_row_is_in_a_group() -> None:
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)
    assert {option.group for option in OPTIONS} == set(GROUPS)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_a_default_as_it_is_shown_is_read_back_as_itself(option) -> None:
    default = default_of(option)
    shown = option.kind.show(default)
    if default is None and option.kind.metavar != "SECONDS|none":
        assert shown == "none"  # nothing to read: the option is simply not given
    else:
        assert option.kind.parse(shown) == default


def test_without_anything_but_a_model_all_is_default() -> None:
    found = configured()
    assert found == Config(
        predictor_ref="predict.py:Predictor",
        secret_environment=frozenset(
            {
                "COGLET_AUTH_TOKEN",
                "COGLET_WEBHOOK_AUTH_TOKEN",
                "COGLET_WEBHOOK_SECRET",
                "WEBHOOK_AUTH_TOKEN",
            }
        ),
    )


# --- precedence --------------------------------------------------------------------------------


def test_a_flag_beats_our_variable_which_beats_coglets() -> None:
    everything = {"COGLET_PORT": "7002", "PORT": "7003"}
    assert configured({"port": "7001"}, **everything).port == 7001
    assert configured(**everything).port == 7002
    assert configured(PORT="7003").port == 7003
    assert configured().port == 5000


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("COGLET_HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("COGLET_MAX_CONCURRENCY", "4", "max_concurrency", 4),
        ("COG_MAX_CONCURRENCY", "4", "max_concurrency", 4),
        ("COGLET_QUEUE", "0", "queue", 0),
        ("COGLET_X_MODE", "train", "is_train", True),
        ("COGLET_UPLOAD_URL", "http://u/", "upload_url", "http://u/"),
        ("COGLET_AWAIT_EXPLICIT_SHUTDOWN", "yes", "await_explicit_shutdown", True),
        ("COGLET_AWAIT_EXPLICIT_SHUTDOWN", "false", "await_explicit_shutdown", False),
        ("COGLET_PYTHON", "/usr/bin/python3", "python", "/usr/bin/python3"),
        ("COGLET_WORKER_COMMAND", "py -c 'a b'", "worker_command", ("py", "-c", "a b")),
        ("WEBHOOK_AUTH_TOKEN", " token ", "webhook_auth_token", "token"),
        ("COGLET_WEBHOOK_SECRET", "whsec_" + "QUFB" * 8, "webhook_secret", (b"A" * 24,)),
        ("COG_LOG_LEVEL", "WARNING", "log_level", "warn"),
        ("RUST_LOG", "hyper=error,debug", "log_level", "debug"),
        ("LOG_FORMAT", "console", "log_format", "console"),
        ("LOG_FORMAT", "pretty", "log_format", "json"),
    ],
)
def test_what_a_variable_means(variable: str, text: str, field: str, value: object) -> None:
    assert getattr(configured(**{variable: text}), field) == value


def test_sizes_and_times_go_to_their_own_places() -> None:
    found = configured({"max-body": "1.5KiB", "grace": "1m"}, COGLET_DRAIN_DELAY="500ms")
    assert found.limits == Limits(max_body=1536)
    assert found.times == Times(grace=60.0, drain_delay=0.5)


def test_the_reference_comes_from_the_variable_of_its_mode() -> None:
    both = {"COG_PREDICT_TYPE_STUB": "p.py:P", "COG_TRAIN_TYPE_STUB": "t.py:t"}
    assert resolve({}, both).config.predictor_ref == "p.py:P"
    assert resolve({"x-mode": "train"}, both).config.predictor_ref == "t.py:t"
    assert resolve({}, both | {"COGLET_REF": "own.py"}).config.predictor_ref == "own.py"
    assert resolve({"ref": "flag.py"}, both).config.predictor_ref == "flag.py"


@pytest.mark.parametrize(
    ("environ", "named"),
    [({}, "COG_PREDICT_TYPE_STUB"), ({"COGLET_X_MODE": "train"}, "COG_TRAIN_TYPE_STUB")],
)
def test_without_a_reference_the_error_names_what_to_set(environ, named) -> None:
    with pytest.raises(UsageError, match=f"no model.*COGLET_REF or {named}"):
        resolve({}, environ)


def test_an_empty_variable_counts_as_unset() -> None:
    assert configured(COGLET_PORT="", PORT=" ").port == 5000


# --- what is invalid ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("upload-url", "bucket/?sig=secret", "is not an http: or https: URL"),
        ("upload-url", "http://u:port/", "is not a URL: Invalid port"),
        ("port", "65536", "is not a port"),
        ("port", "-1", "is not a port"),
        ("max-concurrency", "0", "from 1 on"),
        ("max-concurrency", "2.0", "from 1 on"),
        ("queue", "x", "from 0 on"),
        ("max-body", "12x", "is not a size"),
        ("max-body", "0.3", "is not a size"),
        ("grace", "-1", "is not a time"),
        ("grace", "nan", "is not a time"),
        ("grace", "1" * 400, "is not a time"),
        ("restart-jitter", "1.5", "share between 0 and 1"),
        ("x-mode", "infer", "none of predict, train"),
        ("log-level", "loud", "none of trace"),
        ("worker-command", "'", "not a command line"),
        ("worker-command", " ", "empty command line"),
        ("await-explicit-shutdown", "perhaps", "neither true nor false"),
    ],
)
def test_an_impossible_value_is_refused_in_one_line(name: str, text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=f"^--{name}: .*{complaint}") as caught:
        configured({name: text})
    assert "\n" not in str(caught.value)


def test_our_variable_is_as_strict_as_the_flag() -> None:
    with pytest.raises(UsageError, match=r"^COGLET_MAX_CONCURRENCY: 'many' is not"):
        configured(COGLET_MAX_CONCURRENCY="many")


def test_a_port_that_is_none_is_refused_whoever_names_it() -> None:
    with pytest.raises(UsageError, match=r"^PORT: 'http' is not a port"):
        configured(PORT="http")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("COG_SETUP_TIMEOUT", "0.5"),
        ("COG_SETUP_TIMEOUT", "soon"),
        ("COG_MAX_CONCURRENCY", "0"),
        ("COG_LOG_LEVEL", "loud"),
        ("RUST_LOG", "hyper=debug"),
    ],
)
def test_what_coglet_shrugs_off_is_a_notice_and_the_default(variable: str, text: str) -> None:
    resolved = resolve(REF, {variable: text})
    assert attrs.evolve(resolved.config, secret_environment=frozenset()) == Config(REF["ref"])
    (notice,) = resolved.notices
    assert notice.startswith(f"{variable}: {text!r}")
    assert notice.endswith("; ignored")


@pytest.mark.parametrize(("text", "value"), [("30", 30.0), ("0", None)])
def test_coglets_setup_timeout_is_whole_seconds_and_0_is_none(text, value) -> None:
    assert configured(COG_SETUP_TIMEOUT=text).times.setup_timeout == value


@pytest.mark.parametrize(("text", "value"), [("1.5", 1.5), ("0", None), ("none", None)])
def test_our_setup_timeout(text, value) -> None:
    assert configured({"setup-timeout": text}).times.setup_timeout == value


def test_a_tolerated_value_does_not_hide_the_next_variable() -> None:
    found = resolve(REF, {"COG_LOG_LEVEL": "loud", "RUST_LOG": "error"})
    assert found.config.log_level == "error"


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("7", 7), ("1kB", 1000), ("2 KiB", 2048), ("16mib", 2**24), ("1GiB", 2**30)],
)
def test_sizes(text: str, size: int) -> None:
    assert SIZE.parse(text) == size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("9007199254740993", 2**53 + 1),
        ("9007199254740993 KiB", (2**53 + 1) * 2**10),
        ("0.5KiB", 512),
        ("1.", 1),
    ],
)
def test_whole_sizes_are_exact(text: str, size: int) -> None:
    assert SIZE.parse(text) == size


@pytest.mark.parametrize("text", ["9" * 400, "9" * 5000, "0.3", "-1", "1e3"])
def test_what_is_no_size_is_told_as_it_was_written(text: str) -> None:
    with pytest.raises(ValueError, match=f"^'{text}' is not a size"):
        SIZE.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2.0), (".5", 0.5), ("1h", 3600.0), ("250 ms", 0.25), ("3m", 180.0)]
)
def test_times(text: str, seconds: float) -> None:
    assert SECONDS.parse(text) == seconds


# --- the environment of a pod ------------------------------------------------------------------


def test_what_kubernetes_injects_is_ignored_without_a_word() -> None:
    injected = {
        "COGLET_PORT": "tcp://10.0.0.1:5000",
        "COGLET_SERVICE_HOST": "10.0.0.1",
        "COGLET_SERVICE_PORT": "5000",
        "COGLET_SERVICE_PORT_HTTP": "5000",
        "COGLET_PORT_5000_TCP": "tcp://10.0.0.1:5000",
        "COGLET_PORT_5000_TCP_PROTO": "tcp",
        "COGLET_PORT_5000_TCP_PORT": "5000",
        "COGLET_PORT_5000_TCP_ADDR": "10.0.0.1",
        "COGLET_WEB_PORT": "udp://10.0.0.2:53",
        "COGLET_WEB_SERVICE_HOST": "10.0.0.2",
        "COGLET_WEB_PORT_53_UDP_ADDR": "10.0.0.2",
    }
    resolved = resolve(REF, injected | {"PORT": "7003"})
    assert resolved.config.port == 7003
    assert resolved.notices == []


def test_a_port_of_our_own_is_not_mistaken_for_kubernetes() -> None:
    assert configured(COGLET_PORT="7002", COGLET_SERVICE_PORT="5000").port == 7002


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("COGLET_MAXBODY", "COGLET_MAX_BODY"),
        ("COGLET_MAX_CONCURENCY", "COGLET_MAX_CONCURRENCY"),
        ("COGLET_SETUPTIMEOUT", "COGLET_SETUP_TIMEOUT"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest(variable: str, nearest: str) -> None:
    (notice,) = notices(**{variable: "1"})
    assert notice == f"{variable} is not an option and is ignored; the nearest is {nearest}"


def test_variables_of_others_and_of_the_wire_are_none_of_our_business() -> None:
    assert notices(COGLET_DIALECT="0.19", COG_WEIGHTS="w", PATH="/bin") == []


# --- secrets and times -------------------------------------------------------------------------


def test_what_is_marked_secret_is_withheld_by_all_its_names() -> None:
    port = next(option for option in OPTIONS if option.name == "port")
    token = attrs.evolve(port, name="some-token", kind=TEXT, secret=True)
    assert secret_variables((token,)) == {"COGLET_SOME_TOKEN", "PORT"}
    assert secret_variables(OPTIONS) >= {
        "WEBHOOK_AUTH_TOKEN",
        "COGLET_WEBHOOK_SECRET",
        "COGLET_AUTH_TOKEN",
    }


def test_secrets_are_shown_neither_by_errors_nor_by_the_configuration() -> None:
    with pytest.raises(UsageError) as caught:
        configured(COGLET_WEBHOOK_SECRET="hunter2")
    assert "hunter2" not in str(caught.value)
    (notice,) = notices(WEBHOOK_AUTH_TOKEN="hunter2 hunter3")
    assert notice.startswith("WEBHOOK_AUTH_TOKEN: a token is")
    assert notice.endswith("; ignored")
    assert "hunter" not in notice
    found = configured(WEBHOOK_AUTH_TOKEN="hunter2", COGLET_WEBHOOK_SECRET="QUFB" * 8)
    assert "hunter" not in repr(found)
    assert "AAA" not in repr(found)


def test_coglets_interval_is_that_of_webhooks() -> None:
    assert configured(COG_THROTTLE_RESPONSE_INTERVAL="0.25").times.webhook_interval == 0.25
    assert configured(COG_THROTTLE_RESPONSE_INTERVAL="soon").times.webhook_interval == 0.5


def test_the_defaults_fit_into_a_pods_30_seconds() -> None:
    assert Times().worst_case_stop == 29
    assert notices() == []


def test_a_kill_is_given_a_moment_whatever_the_operator_says() -> None:
    assert Times(kill_wait=0).killed_within > 0
    assert Times(kill_wait=0).worst_case_stop == pytest.approx(27.2)
    assert Times(kill_wait=3).worst_case_stop == 30


def test_a_stop_that_may_take_too_long_is_a_notice() -> None:
    (notice,) = notices({"grace": "20"})
    assert "a stop can take 34 s" in notice
    assert "30 s after SIGTERM" in notice
    assert notices({"grace": "20"}, COGLET_TERMINATION_GRACE="60") == []


def test_a_token_comes_from_a_flag_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    assert configured({"auth-token": "t0"}).auth_token == "t0"
    assert configured(COGLET_AUTH_TOKEN="t1").auth_token == "t1"
    assert configured({"auth-token-file": str(file)}).auth_token == "from-a-file"
    assert configured(COGLET_AUTH_TOKEN_FILE=str(file)).auth_token == "from-a-file"
    assert "t0" not in repr(configured({"auth-token": "t0"}))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "--auth-token-file: cannot read .*token: No such file or directory"),
        (b"", "--auth-token-file: a token is visible ASCII"),
        (b" \n", "--auth-token-file: a token is visible ASCII"),
        (b"two words", "--auth-token-file: a token is visible ASCII"),
        (b"\xff\xfe", "--auth-token-file: .*token holds no text"),
    ],
)
def test_a_file_without_a_token_is_refused_and_not_shown(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=complaint) as caught:
        configured({"auth-token-file": str(file)})
    assert "words" not in str(caught.value)


def test_options_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t")
    with pytest.raises(UsageError, match="--auth-token and --auth-token-file are both given"):
        configured({"auth-token-file": str(file)}, COGLET_AUTH_TOKEN="t")
    with pytest.raises(UsageError, match="--tls-key is given, but no --tls-cert"):
        configured({"tls-key": "key.pem"})


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("*", ("*",)),
        ("https://a.example, HTTP://b.example:81", ("https://a.example", "http://b.example:81")),
        ("capacitor://localhost", ("capacitor://localhost",)),
        ("none", ()),
    ],
)
def test_origins(text: str, origins: tuple[str, ...]) -> None:
    assert configured(COGLET_CORS_ORIGIN=text).cors_origins == origins


@pytest.mark.parametrize("text", ["a.example", "https://a.example/", "https://u@a", ",", "null"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--cors-origin: .*origin"):
        configured({"cors-origin": text})


# --- who can reach it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "is_pod", "warned"),
    [
        ({}, False, None),
        ({"host": "localhost"}, False, None),
        ({"host": "::1"}, False, None),
        ({"host": "127.8.8.8"}, False, None),
        ({"host": "0.0.0.0"}, False, "whoever reaches 0.0.0.0 can run predictions"),
        ({"host": "::"}, True, "whoever reaches :: can run predictions"),
        ({"host": "my-machine"}, False, "set --auth-token"),
        ({"host": "0.0.0.0", "auth-token": "t"}, True, None),
        ({}, True, "probes and other pods cannot reach it; serve with --host 0.0.0.0"),
        ({"auth-token": "t"}, True, "probes and other pods cannot reach it"),
        ({"uds": "s"}, True, None),
        ({"uds": "s", "host": "0.0.0.0"}, False, None),
    ],
)
def test_a_likely_mistake_about_the_address_is_warned_about_once(
    flags: dict[str, str], is_pod: bool, warned: str | None
) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"} if is_pod else {}
    found = notices(flags, **environ)
    assert len(found) == (warned is not None)
    assert warned is None or warned in found[0]
