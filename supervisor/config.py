"""What the operator decides, as plain values: every time, limit and choice of the supervisor.

How these values are found (flags, environment, defaults) is the business of `supervisor.cli`.
"""

from __future__ import annotations

from typing import Final

from attrs import Factory, field, frozen

__all__ = ["Config", "Limits", "Times", "WorkerOptions"]

_LEAST_KILL_WAIT: Final = 0.2
"""Seconds. The kernel has to free the memory first; nobody can be found dead in no time."""


@frozen
class Times:
    """How long things may take, in seconds. The supervisor alone counts.

    The defaults are the design's table; their worst case adds up to `worst_case_stop`.
    """

    drain_delay: float = 0.0
    """SIGTERM → no more requests served."""
    grace: float = 15.0
    """Then → running and queued predictions done."""
    cancel_grace: float = 5.0
    """`Cancel` → terminal message."""
    shutdown_grace: float = 2.0
    """`Shutdown` → exit, nothing running."""
    term_grace: float = 2.0
    """SIGTERM to the worker → exit."""
    kill_wait: float = 2.0
    """SIGKILL → the worker is dead."""
    orphan_wait: float = 1.0
    """The worker is dead → so are its descendants, and it is reaped."""
    last_read: float = 1.0
    """Reaped → what is left in pipe and sockets has been read."""
    last_answers: float = 1.0
    """The worker has ended → the answers to its last predictions have been written."""
    idle_grace: float = 5.0
    """Terminal message → `idle`."""
    setup_timeout: float | None = None
    """Spawn → `ready`; None: no limit."""
    upload_timeout: float = 25.0
    """Without progress of an upload → its next try, or its end (`spec/protocol.md` 12). All of one
    try: three times as long, and a second for each 256 KiB."""
    healthcheck_timeout: float = 10.0
    """`healthcheck` → `healthcheck_result` (`spec/protocol.md` 9)."""
    restart_pause: float = 0.2
    """Pause before the first restart; doubles with every further failure."""
    restart_pause_max: float = 10.0
    restart_jitter: float = 0.2
    """Each pause is made longer or shorter by up to this share."""
    restart_reset: float = 60.0
    """READY for so long → the next failure counts as the first again."""
    header_timeout: float = 15.0
    """An HTTP connection, or the first byte of a request → the end of the request's header."""
    body_timeout: float = 30.0
    """For each 64 KiB of a request's body that the client has to send."""
    write_timeout: float = 30.0
    """For each 64 KiB of a response that the client has to take."""
    idle_timeout: float = 75.0
    """The end of a response → the first byte of the next request on the same connection."""
    stream_heartbeat: float = 15.0
    """Silence on an event stream → a comment that keeps the connection alive."""
    webhook_interval: float = 0.5
    """A webhook's message → the next one, if there are only new logs to tell."""
    termination_grace: float = 30.0
    """What the surroundings grant between SIGTERM and SIGKILL (Kubernetes: 30)."""

    @property
    def killed_within(self) -> float:
        """`kill_wait`, but at least what the end of a healthy process may take."""
        return max(self.kill_wait, _LEAST_KILL_WAIT)

    @property
    def worst_case_stop(self) -> float:
        """Seconds from SIGTERM to the end of the program when everything takes its longest.

        Without the removal of files that predictions have left, which nothing bounds, and without
        the moment (`supervisor.guard`) that the guard has to end.
        """
        return (
            self.drain_delay
            + self.grace
            + self.cancel_grace
            + self.shutdown_grace
            + self.term_grace
            + self.killed_within
            + self.orphan_wait
            + self.last_read
            + self.last_answers
        )


@frozen
class Limits:
    """How much of something may pile up, in bytes unless said otherwise."""

    max_logs: int = 16 * 1024 * 1024
    """Logs of one prediction; beyond, the middle is dropped and a notice says so."""
    max_output: int = 1024 * 1024 * 1024
    """Output of one prediction as JSON, files as data URLs included, or as bytes where they are
    uploaded; beyond, it fails."""
    max_metrics: int = 1024 * 1024
    """Metrics of one prediction as JSON; one that would go beyond is ignored, with a warning."""
    stream_history: int = 1024
    """Events of one prediction that a late reader of its stream still gets; 0: none (coglet's)."""
    stream_history_bytes: int = 16 * 1024 * 1024
    """The same in bytes of JSON; the newest event is always kept."""
    keep_age: float = 3600.0
    """Seconds for which a finished prediction is remembered; 0: none is."""
    keep_count: int = 1000
    """Finished predictions that are remembered."""
    keep_bytes: int = 64 * 1024 * 1024
    """What they may weigh together: inputs, outputs, logs, metrics, events, as JSON. The newest
    one is remembered whatever it weighs."""
    webhook_pending: int = 1000
    """Finished predictions whose webhooks have not been told yet; of more, the oldest are not."""
    webhook_bytes: int = 128 * 1024 * 1024
    """What is kept for them together; the newest is always tried."""
    max_body: int = 100 * 1024 * 1024
    """Body of one request."""
    max_header: int = 64 * 1024
    """Request line and header of one request."""
    max_connections: int = 1000
    """Open HTTP connections; one more is answered with 503 and closed."""

    @property
    def output_too_large(self) -> str:
        """What is said of an output that is."""
        return f"Output is larger than {self.max_output} bytes (--max-output)"


@frozen
class WorkerOptions:
    """What the worker is told in `init.options`; `worker.options` has the same names."""

    concurrency: str = "auto"
    """How a sync model fills several slots: "auto", not at all; "threads", one thread a slot."""
    event_loop: str = "asyncio"
    """What async models run on: "asyncio", "uvloop" or "trio"."""
    allow_local_files: bool = False
    """Whether a client may name a file of the worker's machine as a file input."""
    deny_private_urls: bool = False
    """Whether URLs to loopback and private addresses are refused; link-local ones always are."""
    download_max: int = 16 * 1024**3
    """Bytes that one downloaded input may have."""
    download_timeout: float = 600.0
    """Seconds for all downloads of one prediction together."""
    block_warning: float = 1.0
    """Seconds without a turn of the event loop until a warning names what blocks it; 0: never."""
    error_prefixes: bool = False
    """Whether the errors of models begin as coglet's do."""


@frozen
class Config:
    """One server: which model, where it listens, how its worker is run."""

    predictor_ref: str
    host: str = "127.0.0.1"
    port: int = 5000
    uds: str | None = None
    """A unix socket to listen on, instead of host and port."""
    tls_cert: str | None = None
    """A PEM file with the certificate and its chain; None: no TLS."""
    tls_key: str | None = None
    """A PEM file with its key; None: it is in the same file."""
    auth_token: str | None = field(default=None, repr=False)
    """What clients have to show, except to the probes; None: nobody has to."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose web pages may use the API; `*`: all."""
    max_concurrency: int = 1
    """Slots."""
    python: str | None = None
    """The interpreter that runs the worker; None: the supervisor's own."""
    worker_command: tuple[str, ...] | None = None
    """A foreign worker's argv, started instead of our own worker."""
    worker_descriptors: float | None = None
    """The worker's soft limit of open descriptors, infinite for no limit; None: it keeps ours."""
    is_train: bool = False
    upload_url: str | None = None
    webhook_auth_token: str | None = field(default=None, repr=False)
    """What webhooks are shown of us (`Authorization: Bearer …`); None: nothing."""
    webhook_secret: tuple[bytes, ...] | None = field(default=None, repr=False)
    """Keys that sign the messages to webhooks; None: they are not signed."""
    await_explicit_shutdown: bool = False
    log_level: str = "info"
    log_format: str = "json"
    strict_streaming: bool = False
    """Whether only models that opted in are streamed, as in coglet."""
    queue: int = 0
    """Jobs that may wait for a slot; 0: none, as coglet."""
    secret_environment: frozenset[str] = frozenset()
    """Names of environment variables that the worker must not see."""
    worker: WorkerOptions = Factory(WorkerOptions)
    times: Times = Factory(Times)
    limits: Limits = Factory(Limits)
