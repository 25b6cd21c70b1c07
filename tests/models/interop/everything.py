import os
import sys
import time
from typing import Any, Optional

from cog import BasePredictor, Input, Secret, current_scope


class Predictor(BasePredictor):
    def setup(self):
        print("set up")

    def predict(
        self,
        do: str = Input(default="echo", choices=["echo", "keys", "logs", "fail", "wait", "exit", "context"]),
        text: str = Input(default="a", min_length=1, max_length=5, regex="^[^A-Z]*$"),
        n: int = Input(default=1, ge=0, le=5),
        level: int = Input(default=2, choices=[1, 2, 3]),
        f: float = 0.5,
        flag: bool = False,
        maybe: Optional[str] = None,
        given: Optional[int] = Input(default=None),
        items: list[str] = [],
        numbers: Optional[list[int]] = None,
        extra: dict = {},
        secret: Secret = None,
        big: int = 0,
    ) -> Any:
        if do == "keys":
            return list(extra)
        if do == "logs":
            print("to stdout")
            print("to stderr", file=sys.stderr)
            return None
        if do == "fail":
            print("about to fail")
            raise ValueError("boom")
        if do == "wait":
            print("started", flush=True)
            while True:
                time.sleep(0.01)
        if do == "exit":
            os._exit(3)
        if do == "context":
            scope = current_scope()
            scope.record_metric("tokens", 2)
            return scope.context
        named = dict(
            text=text, n=n, level=level, f=f, flag=flag, maybe=maybe, given=given, items=items,
            numbers=numbers, extra=extra, big=big,
        )
        named["secret"] = secret and secret.get_secret_value()
        # Only what is not as by default, with its type.
        defaults = dict(
            text="a", n=1, level=2, f=0.5, flag=False, maybe=None, given=None, items=[],
            numbers=None, extra={}, big=0, secret=None,
        )
        return [
            f"{name}: {type(value).__name__} {value!r}"
            for name, value in named.items()
            if type(value) is not type(defaults[name]) or value != defaults[name]
        ]
