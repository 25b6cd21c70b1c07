"""What schemathesis cannot be told in `fuzz_api.toml`: loaded by it, in its process."""

from __future__ import annotations

import atexit
import contextlib
import json
import re
import zlib
from collections import Counter
from typing import Any

import schemathesis

PAUSE_MAX = 0.02
"""Seconds for each word."""

ENDED = ("succeeded", "failed", "canceled")

FIELD_NAME_MAX = 60
"""Characters; the server takes 200, and on the way some become three."""

FILES = ("image", "masks")
"""The inputs of the models here that are files."""

_ends: dict[str, Any] = {}
"""What was asked for, by its id: the metrics that it ended with, None if no end was told yet."""

_repeated: set[str] = set()
"""The cases whose answer told of what had been asked for before."""

_seen: Counter[tuple[str, str, int]] = Counter()
"""How often there was such an answer, by path, method and status."""


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Make no form with a field whose name is empty or very long: no schema can say that of names.

    Such a form is refused.
    """
    is_form = isinstance(case.media_type, str) and case.media_type.startswith("multipart/")
    if not is_form or not isinstance(case.body, dict):
        return True
    return all(0 < len(name) <= FIELD_NAME_MAX for name in case.body)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Make the example hurry, and ask for event streams, too."""
    body = case.body
    inputs = body.get("input") if isinstance(body, dict) else None
    if isinstance(inputs, dict) and type(inputs.get("pause")) in (int, float):
        # examples/stream sleeps as long as it is told to; 1e300 s are valid.
        inputs["pause"] = min(inputs["pause"], PAUSE_MAX)
    # No schema can say that the id in the body is that of the path.
    if case.method == "PUT" and isinstance(body, dict) and isinstance(body.get("id"), str):
        body["id"] = _id_of(case)
    if case.method not in ("POST", "PUT"):
        return
    # By chance, but the same ones in every run.
    chance = zlib.crc32(repr(body).encode()) % 4
    is_stateful = case.meta is not None and case.meta.phase.name.value == "stateful"
    if is_stateful and chance < 2:
        # What comes next is to find predictions that run: to stream and to cancel.
        case.headers["Prefer"] = "respond-async"
    # Where the id of the answer is needed, JSON has it.
    needs_json = "trainings" in case.path or (is_stateful and case.method == "POST")
    if chance == 3 and not needs_json:
        # OpenAPI has no way to describe it.
        case.headers["Accept"] = "text/event-stream"


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count, and remember what is known to the server."""
    _seen[case.path, case.method, response.status_code] += 1
    if case.method not in ("POST", "PUT") or response.status_code not in (200, 201, 202):
        return
    answer = _answer(response)
    metrics = answer.get("metrics") if answer.get("status") in ENDED else None
    prediction_id = _id_of(case) if case.method == "PUT" else answer.get("id")
    if not isinstance(prediction_id, str):
        return
    # No two predictions take the same time: these are of the same one.
    if prediction_id in _ends and _ends[prediction_id] in (None, metrics):
        _repeated.add(case.id)
    _ends[prediction_id] = metrics


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Drop what has to differ between the document and the server.

    ST201, invalid data was accepted:

    - `"input": null` is `{}` to coglet, and to us; the schema of the request in the model's own
      document does not say so, and is served as it is.
    - A repeated PUT is answered with what is known under the id, if that is in flight or has the
      same input. Nothing else of the request is looked at: so coglet does.
    - Files have the format `uri`. Whether a text is one that leads to a file is found out by the
      worker, and the answer is 200 with a prediction that has failed, as coglet's is.
    - A body that was to be random bytes, and is JSON: where schemathesis (4.32) follows a link, it
      puts the id in the place of the bytes, and still takes them for sent.
    """
    if failure.code != "ST201":
        return True
    body = case.body
    is_null = isinstance(body, dict) and "input" in body and body["input"] is None
    is_repeated = case.method == "PUT" and case.id in _repeated
    is_mended = "random bytes" in failure.message and isinstance(body, dict)
    return not (is_null or is_repeated or is_mended or _is_text_for_file(failure.message, body))


def _answer(response: Any) -> dict[str, Any]:
    """What it says of a prediction; of a stream, what its last event says."""
    text = response.content.decode("utf-8", "replace")
    if text.startswith("id: "):
        text = text.rpartition("\ndata: ")[2]
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    return {}


def _is_text_for_file(message: str, body: Any) -> bool:
    """Whether what is wrong is a file's URL, and that is a text, as it should be."""
    name = re.search(r"in body - input -> (\w+)", message)
    if name is None or name[1] not in FILES:
        return False
    value = body["input"][name[1]]
    return all(isinstance(text, str) for text in (value if isinstance(value, list) else [value]))


def _id_of(case: Any) -> str:
    return str(next(iter((case.path_parameters or {}).values()), ""))


@atexit.register
def _print_seen() -> None:
    """What was reached, and what never was: a run in which all is refused finds nothing."""
    print("answers:")
    for path, method in sorted({key[:2] for key in _seen if key[2] != 405}):
        numbers = sorted(
            (key[2], count) for key, count in _seen.items() if key[:2] == (path, method)
        )
        print(f"  {method} {path}:", ", ".join(f"{count} x {status}" for status, count in numbers))
