"""One slot on an event loop: reads its socket, runs its predictions, one task each.

A `Cancel` is noted when it comes, so it counts even if the model blocks the loop and returns. Its
task is cancelled once: the model's clean-up may await what the loop lets it. Once more comes only
when the grace is over.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from protocol.errors import RemoteProtocolError
from worker.answer import Answer
from worker.error_text import Stage
from worker.slot_cancels import SlotCancels

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.messages import Predict
    from worker.answer import Outcome
    from worker.engines.event_loop import EventLoop, Task
    from worker.engines.interface import Workplace
    from worker.engines.loop_watch import LoopWatch
    from worker.engines.model_call import ModelCall
    from worker.slot import Slot

__all__ = ["Seat"]


class Seat:
    """A slot and the prediction that runs in it. Used on the loop's thread, except `cancel`."""

    def __init__(
        self,
        slot: Slot,
        place: Workplace,
        loop: EventLoop,
        call: ModelCall,
        watch: LoopWatch,
        ended: Callable[[], None],
    ) -> None:
        """`ended` is called when the seat may be over."""
        self._slot = slot
        self._place = place
        self._loop = loop
        self._call = call
        self._watch = watch
        self._ended = ended
        self._stage = Stage.ASYNC_TRAIN if place.is_train else Stage.ASYNC_CALL
        self._only_one = len(place.slots) == 1
        self._lock = threading.Lock()
        self._cancels = SlotCancels()
        """Written under the lock."""
        self._task: Task | None = None
        self._task_runs = False
        self._told_to_stop = False
        """Whether the task was cancelled."""
        self._stop_reading: Callable[[], object] | None = None
        self._closed = False

    @property
    def is_over(self) -> bool:
        """Whether nothing runs here and nothing will."""
        return self._task is None and (self._closed or self._slot.poisoned)

    def open(self) -> None:
        """Begin to read requests."""
        self._slot.never_wait()
        self._stop_reading = self._loop.on_readable(self._slot.connection, self._read)

    def close(self) -> None:
        """Take no more requests."""
        self._closed = True
        if self._stop_reading is not None:
            self._stop_reading()
            self._stop_reading = None

    def cancel(self, prediction: str | None) -> bool:
        """A `Cancel` came; it may have overtaken its request on the other channel.

        From any thread. True: `stop_task` is to be called on the loop's thread.
        """
        with self._lock:
            known = self._cancels.cancelled
            return self._cancels.request(prediction, self._slot.request_arrived) and not known

    def stop_task(self) -> None:
        """Pass a `Cancel` on to the task, if what it meant still runs."""
        task = self._task
        # A task that is cancelled before its first step would not be told why; so it looks by
        # itself, there.
        if task is None or not self._task_runs or self._told_to_stop or not self._cancels.cancelled:
            return
        self._told_to_stop = True
        task.cancel()
        self._loop.later(self._place.options.cancel_grace, lambda: self._cancel_again(task))

    def cancel_now(self) -> None:
        """Stop whatever runs."""
        if self.cancel(None):
            self.stop_task()

    def _cancel_again(self, task: Task) -> None:
        if self._task is task:
            task.cancel()

    def _read(self) -> None:
        """Something, or the end, can be read."""
        reader = self._slot.reader
        try:
            if self._task is None:
                # First: a `Cancel` that comes now must find the request in the socket or announced.
                self._note_reading()
            self._closed = not reader.read_more() or self._closed
            while (frame := reader.next_frame_nowait()) is not None:
                predict = self._slot.decode(frame)
                if predict is not None:
                    self._begin(predict)
                elif self._task is None:
                    self._note_reading(request=False)
        except BlockingIOError:
            return  # there was nothing after all
        except (RemoteProtocolError, OSError) as error:
            self._closed = True
            self._slot.poison(str(error))
        if self._closed:
            self.close()
            self._ended()

    def _note_reading(self, *, request: bool = True) -> None:
        with self._lock:
            self._cancels.reading(request=request)

    def _begin(self, predict: Predict) -> None:
        if self._task is not None:
            self._slot.refuse(predict)
            return
        answer = Answer(
            self._slot,
            predict,
            self._stage,
            error_prefixes=self._place.options.error_prefixes,
        )
        with self._lock:
            self._cancels.begin(predict.id)
        self._task_runs = self._told_to_stop = False
        self._watch.began()
        self._task = self._loop.start(
            self._serve(predict, answer),
            # A neighbour in the model cancels all the tasks that there are.
            lambda error: self._end(answer, answer.outcome_of(error)),
        )

    async def _serve(self, predict: Predict, answer: Answer) -> None:
        self._task_runs = True
        self._place.router.set_current(answer.sink)
        if self._only_one:
            self._place.capture.begin(answer.sink)
        ended: Outcome = answer.cancelled()
        if not self._cancels.cancelled:
            ended = await self._call.run(predict, answer, lambda: self._told_to_stop)
        self._end(answer, ended)

    def _end(self, answer: Answer, ended: Outcome) -> None:
        outcome = answer.cancelled() if self._finish() else ended
        self._place.capture.end(answer.sink)
        answer.end(outcome)
        self._task = None
        self._watch.ended()
        self._slot.release()
        self._ended()

    def _finish(self) -> bool:
        """No `Cancel` meets the prediction any more. True: one has."""
        with self._lock:
            return self._cancels.finish()
