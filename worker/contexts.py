"""Threads and executors of the model's belong to the prediction that gave them their work.

A prediction is found through context variables: its scope, its log. The tasks of an event loop and
`asyncio.to_thread` inherit them; plain threads and those of a pool do not. Only our own variables
are carried: what a library keeps in one (the state of `decimal`, the loop it believes to run on)
is meant for one thread.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from contextvars import ContextVar

    Variables = Sequence[ContextVar[Any]]

__all__ = ["install_contexts"]

_POOL_METHODS: Final = (
    "apply_async",  # which `apply` calls
    "map",
    "map_async",
    "starmap",
    "starmap_async",
    "imap",
    "imap_unordered",
)
"""The methods of a `ThreadPool` that take work; the function is their first argument."""


def install_contexts(variables: Variables) -> None:
    """Have `Thread.start` and `ThreadPoolExecutor.submit` carry `variables`, for good.

    A thread has the values of its starter, unless it was made with a context of its own. A thread
    of a pool, also of `multiprocessing.pool.ThreadPool`, has those of whoever has submitted the
    work that it does, only while it does it.
    """
    start = _carrying_start(threading.Thread.start, variables)
    submit = _carrying_submit(ThreadPoolExecutor.submit, variables)
    for kind, name, method in (
        (threading.Thread, "start", start),
        (ThreadPoolExecutor, "submit", submit),
    ):
        setattr(kind, name, method)


class _Carried:
    """The values of some variables, on their way to another thread."""

    def __init__(self, variables: Variables) -> None:
        self._values = [(variable, variable.get(None)) for variable in variables]

    def __bool__(self) -> bool:
        return any(value is not None for _, value in self._values)

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call `function`, for which the variables have the values."""
        tokens = [(variable, variable.set(value)) for variable, value in self._values]
        try:
            return function(*args, **kwargs)
        finally:
            for variable, token in tokens:
                variable.reset(token)


def _carrying_start(
    start: Callable[[threading.Thread], None], variables: Variables
) -> Callable[[threading.Thread], None]:
    @wraps(start)
    def carrying_start(self: threading.Thread) -> None:
        _carry_in_thread_pools(variables)
        carried = _Carried(variables)
        # Since Python 3.14 a thread may be made with a context.
        if not carried or getattr(self, "_context", None) is not None:
            start(self)
            return
        run = self.run
        attributes = vars(self)
        own = attributes.get("run")

        def restore() -> None:
            if own is None:
                attributes.pop("run", None)
            else:
                attributes["run"] = own

        def run_carrying() -> None:
            restore()  # first, so that it keeps nothing of the prediction
            carried.call(run)

        attributes["run"] = run_carrying
        try:
            start(self)
        # There is no thread, or another start has made it. Not after a cancel, which hits a start
        # while it waits for the thread.
        except Exception:
            restore()
            raise

    return carrying_start


def _carrying_submit(
    submit: Callable[..., Future[Any]], variables: Variables
) -> Callable[..., Future[Any]]:
    @wraps(submit)
    def carrying_submit(
        self: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        carried = _Carried(variables)
        if not carried or _pickles(self):
            return submit(self, function, *args, **kwargs)
        # In no context of ours: a thread that the pool now starts outlives the prediction.
        return Context().run(submit, self, carried.call, function, *args, **kwargs)

    return carrying_submit


def _carry_in_thread_pools(variables: Variables) -> None:
    """Have the `ThreadPool` of `multiprocessing` carry too, as soon as the model has loaded it.

    Called when a thread is started: a pool starts its own before it takes any work.
    """
    pool = getattr(sys.modules.get("multiprocessing.pool"), "ThreadPool", None)
    if pool is None or _POOL_METHODS[0] in vars(pool):  # it inherits them all
        return
    for name in _POOL_METHODS:
        setattr(pool, name, _carrying_method(getattr(pool, name), variables))


def _carrying_method(method: Callable[..., Any], variables: Variables) -> Callable[..., Any]:
    @wraps(method)
    def carrying_method(self: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # Also nothing: the pool's threads have what belongs to whoever has made the pool.
        return method(self, partial(_Carried(variables).call, func), *args, **kwargs)

    return carrying_method


def _pickles(executor: ThreadPoolExecutor) -> bool:
    """Whether the executor runs its work in other interpreters (Python 3.14), pickled."""
    module = sys.modules.get("concurrent.futures.interpreter")
    return module is not None and isinstance(executor, module.InterpreterPoolExecutor)
