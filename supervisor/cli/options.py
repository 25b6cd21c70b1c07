"""The table of all options: the one place that says what can be configured, and how.

A row has a flag (`--max-body`), a variable (`COGLET_MAX_BODY`) and a place in `Config`
(`limits.max_body`), which also holds its default. Flags, environment and `--help` come from these
rows, and a test holds the README's table against them.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
from attrs import frozen

from supervisor.cli import values
from supervisor.cli.coglet_variables import (
    LOG_FORMAT,
    LOG_LEVEL,
    MAX_CONCURRENCY,
    PORT,
    PREDICT_REF,
    RUST_LOG,
    SETUP_TIMEOUT,
    STREAM_HISTORY,
    THROTTLE,
    TRAIN_REF,
    WEBHOOK_AUTH_TOKEN,
    Variable,
)
from supervisor.cli.values import Kind
from supervisor.config import Config, Limits, Times, WorkerOptions

__all__ = [
    "AUTH_TOKEN",
    "AUTH_TOKEN_FILE",
    "CONCURRENCY",
    "GROUPS",
    "MODE",
    "OPTIONS",
    "PYTHON",
    "REF",
    "Option",
    "default_of",
]

GROUPS: Final = {
    "model": "Model",
    "server": "Server",
    "webhooks": "Webhooks",
    "worker": "Worker",
    "inputs": "Inputs",
    "limits": "Limits",
    "logs": "Logs",
    "times": "Times",
}
"""The headings of `--help`, in order."""


@frozen
class Option:
    """One row of the table."""

    name: str
    group: str
    field: str
    """Where in `Config` the value goes; a dot leads into a part of it."""
    kind: Kind
    help: str
    coglets: tuple[Variable, ...] = ()
    """Coglet's own variables for the same, in the order in which they are asked."""
    secret: bool = False
    """Whether the worker must not see the value: its variables are withheld from it."""
    is_argument: bool = False
    """Given by its place instead of a flag."""

    @property
    def flag(self) -> str:
        """The option on the command line: `--max-body`."""
        return self.name.upper() if self.is_argument else f"--{self.name}"

    @property
    def variable(self) -> str:
        """The option in the environment: `COGLET_MAX_BODY`."""
        return "COGLET_" + self.name.replace("-", "_").upper()


def _time(name: str, text: str, kind: Kind = values.SECONDS) -> Option:
    """A row of the table of times."""
    return Option(name, "times", "times." + name.replace("-", "_"), kind, text)


REF: Final = Option(
    "ref",
    "model",
    "predictor_ref",
    values.TEXT,
    "The model: file.py:Name, or file.py for its Runner or Predictor.",
    coglets=(PREDICT_REF, TRAIN_REF),
    is_argument=True,
)
MODE: Final = Option(
    "x-mode",
    "model",
    "is_train",
    values.MODE,
    "Which side of the model to serve.",
)
CONCURRENCY: Final = Option(
    "max-concurrency",
    "model",
    "max_concurrency",
    values.COUNT,
    "Slots: predictions that run at once. If it is not given, @cog.concurrent(max=N) is read from "
    "the model's source; without that it is 1.",
    coglets=(MAX_CONCURRENCY,),
)

PYTHON: Final = Option(
    "python",
    "worker",
    "python",
    values.TEXT,
    "The interpreter that runs the model; without it, the server's own. It needs Python 3.11 "
    "or later with attrs, cattrs and msgspec, and httpx for inputs that are URLs.",
)

AUTH_TOKEN: Final = Option(
    "auth-token",
    "server",
    "auth_token",
    values.TOKEN,
    "Token that clients have to show (Authorization: Bearer ...), except to the probes. Other "
    "users see a process's flags: better give it in the environment or in a file.",
    secret=True,
)
AUTH_TOKEN_FILE: Final = Option(
    "auth-token-file",
    "server",
    "auth_token",
    values.TOKEN_FILE,
    "File that holds this token, read at start.",
)

OPTIONS: Final = (
    REF,
    MODE,
    CONCURRENCY,
    Option(
        "queue",
        "model",
        "queue",
        values.QUEUE,
        "Predictions that may wait for a slot; one more is refused with 409.",
    ),
    Option("host", "server", "host", values.TEXT, "Address to listen on."),
    Option(
        "port",
        "server",
        "port",
        values.PORT,
        "Port to listen on; 0 takes a free one and logs it.",
        coglets=(PORT,),
    ),
    Option(
        "uds",
        "server",
        "uds",
        values.TEXT,
        "Path of a unix socket to listen on instead of host and port; its mode is 0660.",
    ),
    Option(
        "tls-cert",
        "server",
        "tls_cert",
        values.TEXT,
        "PEM file with a certificate and its chain: serve over TLS.",
    ),
    Option(
        "tls-key",
        "server",
        "tls_key",
        values.TEXT,
        "PEM file with its key; without it the key is in the certificate's file.",
    ),
    AUTH_TOKEN,
    AUTH_TOKEN_FILE,
    Option(
        "cors-origin",
        "server",
        "cors_origins",
        values.ORIGINS,
        "Origin whose web pages may use the API (CORS), or * for all; may be repeated.",
    ),
    Option(
        "upload-url",
        "server",
        "upload_url",
        values.URL,
        "Where output files are PUT, each under its name; without it they become data URLs.",
    ),
    Option(
        "await-explicit-shutdown",
        "server",
        "await_explicit_shutdown",
        values.SWITCH,
        "Ignore SIGTERM; end on SIGINT and POST /shutdown only.",
    ),
    Option(
        "strict-streaming",
        "server",
        "strict_streaming",
        values.SWITCH,
        "Stream only what has opted in with @cog.streaming, as coglet; else every model streams.",
    ),
    Option(
        "webhook-auth-token",
        "webhooks",
        "webhook_auth_token",
        values.TOKEN,
        "Token that webhooks are shown (Authorization: Bearer ...). Other users see a process's "
        "flags: better give it in the environment.",
        coglets=(WEBHOOK_AUTH_TOKEN,),
        secret=True,
    ),
    Option(
        "webhook-secret",
        "webhooks",
        "webhook_secret",
        values.WEBHOOK_SECRET,
        "Secret (whsec_...) that signs what webhooks get, by Standard Webhooks; two of them, to "
        "rotate them, sign both. As above, better in the environment.",
        secret=True,
    ),
    Option(
        "webhook-interval",
        "webhooks",
        "times.webhook_interval",
        values.SECONDS,
        "From one message to the next one, if there are only new logs to tell.",
        coglets=(THROTTLE,),
    ),
    Option(
        "webhook-pending",
        "webhooks",
        "limits.webhook_pending",
        values.COUNT,
        "Finished predictions whose webhooks do not answer yet; of more, the oldest are given up.",
    ),
    Option(
        "webhook-bytes",
        "webhooks",
        "limits.webhook_bytes",
        values.SIZE,
        "What is kept for them together; the newest is always tried.",
    ),
    PYTHON,
    Option(
        "worker-command",
        "worker",
        "worker_command",
        values.COMMAND,
        "A foreign worker to start instead of ours, as one shell-quoted command.",
    ),
    Option(
        "concurrency",
        "worker",
        "worker.concurrency",
        values.CONCURRENCY,
        "How a sync model fills more than one slot: auto refuses to, threads gives each slot a "
        "thread of its own.",
    ),
    Option(
        "event-loop",
        "worker",
        "worker.event_loop",
        values.EVENT_LOOP,
        "What async models run on; uvloop and trio have to be in the model's environment.",
    ),
    Option(
        "block-warning",
        "worker",
        "worker.block_warning",
        values.SECONDS,
        "An event loop that does not turn for so long is warned about, with what blocks it; 0 is "
        "never.",
    ),
    Option(
        "error-prefixes",
        "worker",
        "worker.error_prefixes",
        values.SWITCH,
        "Begin the errors of models as coglet does: Prediction failed: Prediction failed: ...",
    ),
    Option(
        "allow-local-files",
        "inputs",
        "worker.allow_local_files",
        values.SWITCH,
        "Let clients name files of the worker's machine as inputs: any of them that the model "
        "can read.",
    ),
    Option(
        "deny-private-urls",
        "inputs",
        "worker.deny_private_urls",
        values.SWITCH,
        "Refuse inputs from loopback and private addresses, and webhooks and uploads by "
        "output_file_prefix to them. Link-local ones (cloud metadata) are always refused.",
    ),
    Option(
        "download-max",
        "inputs",
        "worker.download_max",
        values.SIZE,
        "One downloaded input; a larger one fails its prediction.",
    ),
    Option(
        "download-timeout",
        "inputs",
        "worker.download_timeout",
        values.SECONDS,
        "All downloads of one prediction together.",
    ),
    Option(
        "max-body",
        "limits",
        "limits.max_body",
        values.SIZE,
        "Body of one request; a larger one is refused with 413.",
    ),
    Option(
        "max-header",
        "limits",
        "limits.max_header",
        values.SIZE,
        "Request line and header of one request.",
    ),
    Option(
        "max-connections",
        "limits",
        "limits.max_connections",
        values.COUNT,
        "Open HTTP connections; one more is answered with 503 and closed.",
    ),
    Option(
        "max-logs",
        "limits",
        "limits.max_logs",
        values.SIZE,
        "Logs kept of one prediction; of more, the first and the last half.",
    ),
    Option(
        "max-output",
        "limits",
        "limits.max_output",
        values.SIZE,
        "Output of one prediction as JSON; beyond it the prediction fails.",
    ),
    Option(
        "max-metrics",
        "limits",
        "limits.max_metrics",
        values.SIZE,
        "Metrics of one prediction as JSON; one that goes beyond is ignored.",
    ),
    Option(
        "stream-history",
        "limits",
        "limits.stream_history",
        values.QUEUE,
        "Events of one prediction that a reader who comes late to its stream still gets.",
        coglets=(STREAM_HISTORY,),
    ),
    Option(
        "stream-history-bytes",
        "limits",
        "limits.stream_history_bytes",
        values.SIZE,
        "The same in bytes of JSON; the newest event is always kept.",
    ),
    Option(
        "keep-age",
        "limits",
        "limits.keep_age",
        values.SECONDS,
        "A finished prediction is remembered, for GET and for a repeated PUT; 0: not at all.",
    ),
    Option(
        "keep-count",
        "limits",
        "limits.keep_count",
        values.QUEUE,
        "Finished predictions that are remembered.",
    ),
    Option(
        "keep-bytes",
        "limits",
        "limits.keep_bytes",
        values.SIZE,
        "What they may weigh together as JSON; the newest one is remembered whatever it weighs.",
    ),
    Option(
        "log-level",
        "logs",
        "log_level",
        values.LOG_LEVEL,
        "The least important lines that are shown.",
        coglets=(LOG_LEVEL, RUST_LOG),
    ),
    Option(
        "log-format",
        "logs",
        "log_format",
        values.LOG_FORMAT,
        "json lines, or console: text for people. Both go to stderr.",
        coglets=(LOG_FORMAT,),
    ),
    Option(
        "setup-timeout",
        "times",
        "times.setup_timeout",
        values.OPTIONAL_SECONDS,
        "Start of the worker until its set-up has ended; 0 is none.",
        coglets=(SETUP_TIMEOUT,),
    ),
    _time("drain-delay", "SIGTERM until no more requests are served."),
    _time("grace", "Then until running and waiting predictions are done."),
    _time("cancel-grace", "A cancel until the prediction has stopped; then the worker is ended."),
    _time("shutdown-grace", "The worker is told to end until it has ended."),
    _time("term-grace", "SIGTERM to the worker until it has ended."),
    _time("kill-wait", "SIGKILL to the worker until it is dead."),
    _time("orphan-wait", "The worker is dead until its descendants are, too."),
    _time("last-read", "The worker is gone until what it left in its channels is read."),
    _time("last-answers", "Then until the answers to its last predictions are written."),
    _time("idle-grace", "A prediction's end until its slot is free; then the worker is ended."),
    _time("healthcheck-timeout", "The model's own healthcheck."),
    _time(
        "upload-timeout",
        "Without progress of an upload, until it is tried again or given up. One try takes at most "
        "three times as long, and a second for each 256 KiB.",
    ),
    _time("restart-pause", "Before the first restart of a worker; doubles with each one after."),
    _time("restart-pause-max", "The longest pause before a restart."),
    _time("restart-jitter", "Share by which each pause is made shorter or longer.", values.SHARE),
    _time("restart-reset", "Ready for so long, and the next restart counts as the first."),
    _time("header-timeout", "A connection, or a request's first byte, until its header is read."),
    _time("body-timeout", "For each 64 KiB of a request's body."),
    _time("write-timeout", "For each 64 KiB of a response that the client has to take."),
    _time("idle-timeout", "A response's end until the next request on the same connection."),
    _time("stream-heartbeat", "Silence on an event stream until a comment is sent."),
    _time(
        "termination-grace",
        "What the surroundings grant between SIGTERM and SIGKILL. If a stop can take longer, "
        "a warning says so at start.",
    ),
)
"""Every option. `MODE` stands before what depends on it."""


def default_of(option: Option) -> Any:
    """The default, as `Config` has it; None where there is none."""
    part, _, name = option.field.rpartition(".")
    owner = {"": Config, "worker": WorkerOptions, "times": Times, "limits": Limits}[part]
    default = attrs.fields_dict(owner)[name].default
    return None if default is attrs.NOTHING else default
