"""The state of one slot, and the order of the two messages that end its prediction.

The terminal message comes on the slot's socket and `idle` on the control channel, so either may be
read first. A slot takes its next prediction only when both were.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from supervisor.state.transitions import IllegalTransition

__all__ = ["SlotPhase", "SlotState"]


class SlotPhase(Enum):
    """Where a slot stands."""

    IDLE = "idle"
    BUSY = "busy"
    EARLY_IDLE = "busy, idle already said"
    FINISHING = "finishing"
    POISONED = "poisoned"
    RETIRED = "retired"


_P = SlotPhase
_TRANSITIONS: Final[dict[tuple[SlotPhase, str], SlotPhase]] = {
    (_P.IDLE, "predict"): _P.BUSY,
    (_P.BUSY, "terminal"): _P.FINISHING,
    (_P.BUSY, "idle"): _P.EARLY_IDLE,
    (_P.EARLY_IDLE, "terminal"): _P.IDLE,
    (_P.FINISHING, "idle"): _P.IDLE,
    **{(phase, "poison"): _P.POISONED for phase in _P if phase is not _P.RETIRED},
    **{(phase, "retire"): _P.RETIRED for phase in _P if phase is not _P.POISONED},
    # The last messages of a slot that takes no more predictions may still be on the way.
    **{
        (phase, step): phase
        for phase in (_P.POISONED, _P.RETIRED)
        for step in ("terminal", "idle", "poison", "retire")
    },
}


class SlotState:
    """One slot's state; every method is one transition and raises `IllegalTransition`."""

    def __init__(self) -> None:
        self.phase = SlotPhase.IDLE

    def predict(self) -> None:
        """A prediction is on its way to the worker."""
        self._step("predict")

    def terminal(self) -> None:
        """The terminal message of the prediction was read."""
        self._step("terminal")

    def idle(self) -> None:
        """The worker said that the slot is idle."""
        self._step("idle")

    def poison(self) -> None:
        """The slot will never be idle again."""
        self._step("poison")

    def retire(self) -> None:
        """The slot gets no further prediction: its worker is about to end."""
        self._step("retire")

    @property
    def is_finishing(self) -> bool:
        """Whether the client was answered, and `idle` is all that is missing."""
        return self.phase is SlotPhase.FINISHING

    def expects_idle(self) -> bool:
        """Whether an `idle` is what may come now."""
        return (self.phase, "idle") in _TRANSITIONS

    def _step(self, step: str) -> None:
        phase = _TRANSITIONS.get((self.phase, step))
        if phase is None:
            raise IllegalTransition("slot", self.phase.value, step)
        self.phase = phase
