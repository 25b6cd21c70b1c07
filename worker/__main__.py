"""The life of a worker: descriptors, `init`, the model, `ready`, predictions, the end.

`worker.launch` imports this module, which imports all that the worker will ever need, and then
makes our packages invisible to the model. Nothing of ours may be imported later.
"""

from __future__ import annotations

import atexit
import os
import platform
import socket
import sys
import threading
import traceback
import uuid
from functools import partial
from time import sleep  # by name: the interpreter's own, whatever the model puts in its place
from typing import TYPE_CHECKING, Final

from protocol.codec import dialect_of
from protocol.messages import (
    Fatal,
    HealthcheckResult,
    HealthStatus,
    LogSource,
    Ready,
    ShuttingDown,
    SlotFailed,
    WorkerInfo,
)
from worker import __version__, error_text, scope, sdk, thread_interrupter
from worker.capture import Capture
from worker.contexts import install_contexts
from worker.control import Control
from worker.descriptors import move_up, take_descriptors
from worker.engines.asyncio_loop import AsyncioEngine
from worker.engines.event_loop import LoopMissing
from worker.engines.interface import Workplace
from worker.engines.main_thread import MainThreadEngine
from worker.engines.threads import ThreadsEngine
from worker.engines.trio_loop import TrioEngine
from worker.healthcheck import Healthchecks
from worker.interrupter import SignalInterrupter
from worker.logs import LogRouter
from worker.model_signals import ModelSignals
from worker.options import BadOption, Options, options_from
from worker.predictor import CallKind, LoadError, load_predictor
from worker.printing import install_print
from worker.schema import model_schema
from worker.sink import LogSink
from worker.slot import Slot
from worker.streams import install_streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.messages import Init
    from worker.descriptors import Descriptors
    from worker.engines.interface import Engine
    from worker.predictor import Predictor

__all__ = ["main"]

_PING: Final = "ping_"
"""Healthchecks whose id begins so ask the worker alone, not the model."""

_ORPHAN_GRACE: Final = 5.0
"""Seconds that the model has to stop when the supervisor is gone; nobody else would end us."""

_SETTING_UP: Final = "set-up"


def main(capture: int | None) -> int:
    """Run a worker; the exit code.

    Args:
        capture: the read end of the pipe that is fd 2; None under a foreign parent.
    """
    worker = Worker(take_descriptors(capture))
    try:
        worker.run()
    # The last boundary: only a bug of ours comes here.
    except BaseException as error:
        worker.end_logs()
        worker.control.send(Fatal(f"bug in the worker: {error_text.describe(error)}"))
        traceback.print_exc()
        return 1
    worker.end_logs()
    return 0


def _versions() -> dict[str, str]:
    """What the model runs on; cog only if the model has imported it."""
    versions = {"python": platform.python_version()}
    cog = getattr(sys.modules.get("cog"), "__version__", None)
    return versions | {"python_sdk": cog} if isinstance(cog, str) else versions


class _SetupFailed(Exception):
    """The model cannot be served; the text is what the supervisor is told."""


class Worker:
    """The parts of one worker; and what the supervisor asks of them, on the control thread."""

    def __init__(self, descriptors: Descriptors) -> None:
        self._descriptors = descriptors
        self.control = Control(descriptors.control_in, descriptors.control_out)
        self._nobody = LogSink(self.control.writer, self.control.log_frame)
        self._router = LogRouter(self._nobody)
        self._capture = Capture(descriptors.capture, self._router, self.control.die)
        self._warn = partial(self.control.log, "warn")
        self._interrupter = SignalInterrupter(
            self._warn, lambda frame: self._signals.run_waiting(frame)
        )
        self._signals = ModelSignals(self._interrupter.wake, partial(self.control.log, "error"))
        self._slots: list[Slot] = []
        self._lock = threading.Lock()
        self._stopping = False
        self._engine: Engine | None = None
        self._healthchecks: Healthchecks | None = None

    def run(self) -> None:
        """From `init` to the end of the last prediction."""
        init = self.control.read_init()
        if init is None:
            return
        self._connect(init)
        sdk.install()
        several = init.num_slots > 1
        install_streams(self._router, self._capture, self._checkpoint, several=several)
        install_print()
        install_contexts([self._router.current, scope.current])
        self._capture.start()
        atexit.register(self._flush_logs)  # the first one, so it runs after all of the model's
        os.register_at_fork(after_in_child=self._leave_to_child)
        self._interrupter.install()
        self._signals.install()
        self.control.start(self)
        try:
            self._serve(init)
        except _SetupFailed as failure:
            self._flush_logs()
            self.control.send(SlotFailed(str(uuid.uuid4()), str(failure)))

    def end_logs(self) -> None:
        """From now on only exit handlers write, to fd 1 and 2 and without a lock of ours.

        The capture thread reads on; it is stopped where it stands when the interpreter ends.
        """
        self._flush_logs()
        self._router.go_plain()

    # --- what the supervisor asks, on the control thread --------------------------------------

    def cancel(self, slot: str, prediction: str | None) -> None:
        """Stop the prediction of a slot."""
        if self._engine is not None:
            self._engine.cancel(slot, prediction)

    def healthcheck(self, check: str) -> None:
        """Answer for the worker at once, or have the model answer."""
        if check.startswith(_PING):
            engine = self._engine if self._healthchecks else None
            idle = engine.loop_idle() if engine else None
            self.control.send(HealthcheckResult(check, HealthStatus.HEALTHY, loop_idle=idle))
        elif self._healthchecks is None:
            text = error_text.NOT_READY
            self.control.send(HealthcheckResult(check, HealthStatus.UNHEALTHY, text))
        else:
            self._healthchecks.start(check)

    def shutdown(self, grace: float | None) -> None:
        """End: after what runs, or in the middle of set-up."""
        self.control.send(ShuttingDown())
        self._stop(grace)

    def supervisor_gone(self) -> None:
        """End, if need be by force."""
        self._stop(0.0)
        sleep(_ORPHAN_GRACE)  # the process usually ends meanwhile, and this thread with it
        os._exit(1)

    # --- the main thread ------------------------------------------------------------------------

    def _connect(self, init: Init) -> None:
        dialect = dialect_of(os.environ)
        for index in range(init.num_slots):
            low = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection = socket.socket(fileno=move_up(low.detach()))
            connection.connect(init.transport_info.address(index))
            self._slots.append(Slot(str(uuid.uuid4()), connection, self.control, dialect))

    def _serve(self, init: Init) -> None:
        options = self._options(init)
        self._interrupter.begin(_SETTING_UP)
        try:
            predictor = self._load(init, options)
            engine = self._engine_for(predictor, init, options)
            self._run(engine, partial(self._ready, engine, predictor, init))
            self._tear_down(engine)
        except _SetupFailed:
            if self._interrupter.finish():
                return  # it was told to stop
            raise

    def _ready(self, engine: Engine, predictor: Predictor, init: Init) -> bool:
        """The model is set up: say so. False: it was told to stop."""
        self._interrupter.finish()
        schema = model_schema(predictor)
        with self._lock:
            if self._stopping:
                return False
            self._healthchecks = Healthchecks(
                predictor.healthcheck, engine, self.control, self._router
            )
        self._flush_logs()
        info = WorkerInfo(
            "coglet-trio",
            __version__,
            predictor.healthcheck is not None,
            predictor.signature.optional_inputs,
            _versions(),
        )
        self.control.send(Ready([slot.id for slot in self._slots], schema, info))
        for slot in self._slots:
            slot.announce()
        return True

    def _options(self, init: Init) -> Options:
        try:
            return options_from(init.options, os.environ)
        except BadOption as error:
            raise _SetupFailed(error_text.setup_failed(str(error))) from error

    def _load(self, init: Init, options: Options) -> Predictor:
        load = self._interrupter.call
        try:
            predictor: Predictor = load(load_predictor, init.predictor_ref, is_train=init.is_train)
        except LoadError as error:
            self._log_traceback(error.__cause__ or error)
            raise _SetupFailed(error_text.setup_failed(error, loading=True)) from error
        is_sync = predictor.kind is CallKind.SYNC
        if is_sync and init.num_slots > 1 and options.concurrency != "threads":
            raise _SetupFailed(error_text.setup_failed(error_text.NEEDS_ASYNC))
        return predictor

    def _engine_for(self, predictor: Predictor, init: Init, options: Options) -> Engine:
        place = Workplace(
            predictor=predictor,
            slots=self._slots,
            router=self._router,
            capture=self._capture,
            interrupter=self._interrupter,
            checkpoint=self._checkpoint,
            warn=self._warn,
            options=options,
            is_train=init.is_train,
        )
        if predictor.kind is CallKind.SYNC:
            return MainThreadEngine(place) if init.num_slots == 1 else ThreadsEngine(place)
        try:
            return TrioEngine(place) if options.event_loop == "trio" else AsyncioEngine(place)
        except LoopMissing as error:
            raise _SetupFailed(error_text.setup_failed(str(error))) from error

    def _run(self, engine: Engine, ready: Callable[[], bool]) -> None:
        with self._lock:
            self._engine = engine
        try:
            engine.run(ready)
        # A boundary: whatever the model raises, `SystemExit` too, is why its set-up failed.
        except BaseException as error:
            if self._healthchecks is not None:
                raise  # it was set up
            self._log_traceback(error)
            raise _SetupFailed(error_text.setup_failed(error)) from error

    def _tear_down(self, engine: Engine) -> None:
        """Whatever has ended the serving: the model has been set up, so it may clean up."""
        try:
            engine.tear_down()
        # A boundary: whatever the model raises, `SystemExit` too, the worker ends all the same.
        except BaseException as error:
            self._log_traceback(error)
            self.control.log(
                "error", f"the model's teardown() failed: {error_text.describe(error)}"
            )

    def _stop(self, grace: float | None) -> None:
        with self._lock:
            self._stopping = True
            engine, ready = self._engine, self._healthchecks is not None
        if engine is not None:
            engine.stop(grace)
        if not ready:
            self._interrupter.request(None, lambda: False)

    def _log_traceback(self, error: BaseException) -> None:
        self._flush_logs()
        self._nobody.write(LogSource.STDERR, error_text.model_traceback(error))

    def _flush_logs(self) -> None:
        """Send what was logged so far, before anything that is said of it."""
        self._capture.drain()
        self._nobody.flush_all()

    def _checkpoint(self) -> None:
        """At the end of what the model calls of ours."""
        if self._signals.waiting or self._interrupter.cancelled:  # seldom, and asked often
            self._signals.checkpoint()
            self._interrupter.checkpoint()
        if len(self._slots) > 1:
            thread_interrupter.checkpoint()

    def _leave_to_child(self) -> None:
        """In a forked child of the model: nothing of the wire, and no lock of ours, is its own."""
        self._router.go_plain()
        self._capture.give_up()
        self.control.writer.renew_lock()
        for slot in self._slots:
            slot.leave()
        self._descriptors.close()
