"""What every state machine here raises when it is asked for a step that its table does not have."""

from __future__ import annotations

__all__ = ["IllegalTransition"]


class IllegalTransition(Exception):
    """A step that may not follow the present state. Always a bug of ours, never a client's."""

    def __init__(self, thing: str, state: object, step: str) -> None:
        super().__init__(f"{thing} in state {state} cannot {step}")
