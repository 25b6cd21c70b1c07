"""Runs a model of the corpus on a worker, ours or coglet's, and says what a client would see of it.

What is seen comes in places: `setup`, each step by its number (`2`, and `2/1` in slot 1), `exit`.
At each place are a few facts. What cannot be the same in two runs, or need not on two workers, is
taken off: folders and ports, the prefixes of errors, how a text was cut into messages.
"""

from __future__ import annotations

import functools
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from protocol.messages import (
    Cancelled,
    Done,
    Failed,
    Idle,
    Log,
    Predict,
    ProtocolVersion,
    Ready,
    Shutdown,
    SlotFailed,
)
from tests.worker.corpus_facts import (
    Account,
    Facts,
    drop_empty_texts,
    for_toml,
    plain_error,
    split_traceback,
)
from tests.worker.driver import DEADLINE, Driver, Ended, worker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.worker.corpus import Model, Step

__all__ = ["WORKERS", "Observation", "observe"]

Observation: TypeAlias = dict[str, Facts]
"""All that is seen, by place."""

WORKERS = {
    "ours": None,
    "coglet": [sys.executable, "-c", "import coglet; coglet.server._run_worker()"],
}
"""The commands of the workers; None: the driver's own. Both run where the tests do."""

NEVER = "never ended"
DIED = "the worker died"

_PATIENCE = DEADLINE * (3 if os.environ.get("CI") else 1)
_HANGING = 2.0
"""Seconds after which a worker that is known to hang is believed to."""

_TERMINAL = {Done: "succeeded", Failed: "failed", Cancelled: "canceled"}


def observe(model: Model, name: str) -> Observation:
    """What is seen of `model` on the worker `name`. After a hang or a death, no more is asked."""
    hangs = name == "coglet" and model.coglet_hangs
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder, _web() as web:
        for file, text in model.files.items():
            path = Path(folder, file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        with worker(
            Path(folder),
            model.path.read_text("utf-8"),
            ref=f"predict.py:{model.ref}" if model.ref else "predict.py",
            slots=model.slots,
            is_train=model.train,
            argv=WORKERS[name],
            environment={"PYTHONWARNINGS": "ignore"} | model.environment,
            options=model.options,
            patience=_PATIENCE,
        ) as driver:
            session = _Session(driver, folder, web, is_train=model.train, hangs=hangs)
            observation = session.run(model.steps)
    text = json.dumps(for_toml(observation)).replace(folder, "<folder>").replace(web, "<web>")
    seen: Observation = json.loads(text)
    return seen


@contextmanager
def _web() -> Iterator[str]:
    """A web server with one file, `hello.txt`; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/hello.txt"
            body = b"hello from the web" if found else b"not here"
            self.send_response(200 if found else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=functools.partial(server.serve_forever, 0.01))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Session:
    """The life of one worker."""

    def __init__(
        self, driver: Driver, folder: str, web: str, *, is_train: bool, hangs: bool
    ) -> None:
        self._driver = driver
        self._hangs = hangs
        self._is_train = is_train
        self._folder = folder
        self._web = web
        self._is_array = False
        self._observation: Observation = {}

    def run(self, steps: list[Step]) -> Observation:
        try:
            if self._set_up():
                if self._hangs:  # only now: to start takes long on a busy machine
                    self._driver.be_patient(_HANGING)
                for number, step in enumerate(steps, 1):
                    self._step(str(number), step)
                self._driver.send(Shutdown(5.0))
        except (queue.Empty, Ended, BrokenPipeError):
            pass  # the facts of the place where it happened say so
        self._end()
        return self._observation

    def _set_up(self) -> bool:
        facts = self._observation["setup"] = {"status": NEVER}
        try:
            end = self._driver.control.until(Ready, SlotFailed)[-1]
        except Ended:
            facts["status"] = DIED
            raise
        if isinstance(end, SlotFailed):
            facts |= {"status": "failed", "error": plain_error(end.error)}
            return False
        facts["status"] = "ready"
        if end.schema is not None:
            schemas = facts["schema"] = end.schema["components"]["schemas"]
            output = schemas.get("TrainingOutput" if self._is_train else "Output", {})
            self._is_array = output.get("type") == "array"
        self._driver.ready = end
        for slot in self._driver.slots:
            assert slot.next() == ProtocolVersion(1)
        return True

    def _step(self, place: str, step: Step) -> None:
        match step.do:
            case "predict":
                self._predict({0: place}, [step.input], step)
            case "together":
                places = {slot: f"{place}/{slot}" for slot in range(len(step.inputs))}
                self._predict(places, step.inputs, step)
            case "healthcheck":
                facts = self._observation[place] = {"status": NEVER}
                result = self._driver.healthcheck(place)
                facts["status"] = result.status.value
                if result.error is not None:
                    facts["error"] = plain_error(result.error)

    def _predict(self, places: dict[int, str], inputs: list[Any], step: Step) -> None:
        """One prediction in each slot of `places`, to their ends, and the slots back to idle."""
        texts = [json.dumps(each).replace("<web>", self._web) for each in inputs]
        for slot, (place, text) in enumerate(zip(places.values(), texts, strict=True)):
            self._observation[place] = {"status": NEVER}
            outputs = Path(self._folder, "run", f"p{place}".replace("/", "-"), "outputs")
            outputs.mkdir(parents=True)
            input = json.loads(text.replace("<folder>", self._folder))
            predict = Predict(
                outputs.parent.name, input, output_dir=str(outputs), context=step.context
            )
            self._driver.start_with(predict, slot)
        for slot, place in places.items():
            self._follow(slot, place, step)
        for _ in places:
            *_, end = self._driver.control.until(Idle, SlotFailed)
            if isinstance(end, SlotFailed):
                for place in places.values():
                    self._observation[place]["slot"] = end.error

    def _follow(self, slot: int, place: str, step: Step) -> None:
        """Read one slot up to the terminal message; cancel the prediction when it is time to."""
        id = f"p{place}".replace("/", "-")
        outputs = Path(self._folder, "run", id, "outputs")
        account = Account(self._folder, str(outputs), is_array=self._is_array)
        facts = self._observation[place]
        try:
            if step.cancel == "at once":
                self._driver.cancel(id, slot)
            end = self._end_of_prediction(slot, id, account, cancels=step.cancel == "started")
        except Ended:
            facts["status"] = DIED
            raise
        finally:
            facts |= account.facts()
        facts["status"] = _TERMINAL[type(end)]
        if isinstance(end, Failed):
            facts["error"] = plain_error(end.error)
            split_traceback(facts, "logs", facts["error"])

    def _end_of_prediction(
        self, slot: int, id: str, account: Account, *, cancels: bool
    ) -> Done | Failed | Cancelled:
        while True:
            message = self._driver.slots[slot].next()
            account.add(message)
            if cancels and "started" in account.logs:
                cancels = False
                self._driver.cancel(id, slot)
            if isinstance(message, Done | Failed | Cancelled):
                return message

    def _end(self) -> None:
        """See the worker end by itself."""
        facts: Facts = {"code": NEVER}
        self._observation["exit"] = facts
        with suppress(queue.Empty, subprocess.TimeoutExpired):
            self._driver.control.rest()
            facts["code"] = self._driver.process.wait(self._driver.patience)
        said = [each for each in self._driver.control.history if type(each) is Log]
        facts["log"] = "".join(each.data for each in said)
        if self._observation["setup"]["status"] == "failed":
            split_traceback(facts, "log", self._observation["setup"]["error"])
        drop_empty_texts(facts)
