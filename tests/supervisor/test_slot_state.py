"""A slot's state: both orders of the terminal message and `idle`, poison, retirement."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.state.slot import SlotPhase, SlotState
from supervisor.state.transitions import IllegalTransition

STEPS = ("predict", "terminal", "idle", "poison", "retire")


class Model:
    """What a slot is, said in other words than the code's table: two messages that are missing."""

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.lost = False
        self.retired = False

    def allows(self, step: str) -> bool:
        if step == "predict":
            return not (self.missing or self.lost or self.retired)
        if step in ("poison", "retire") or self.lost or self.retired:
            return True
        return step in self.missing

    def do(self, step: str) -> None:
        match step:
            case "predict":
                self.missing = {"terminal", "idle"}
            case "poison" if not self.retired:
                self.lost = True
            case "retire" if not self.lost:
                self.retired = True
            case _:
                self.missing.discard(step)


@given(st.lists(st.sampled_from(STEPS), max_size=20))
def test_every_sequence_agrees_with_the_model(steps: list[str]) -> None:
    slot, model = SlotState(), Model()
    for step in steps:
        phase = slot.phase
        if model.allows(step):
            getattr(slot, step)()
            model.do(step)
        else:
            with pytest.raises(IllegalTransition, match=step):
                getattr(slot, step)()
            assert slot.phase is phase
        usable = not (model.lost or model.retired)
        assert (slot.phase is SlotPhase.POISONED) is model.lost
        assert (slot.phase is SlotPhase.RETIRED) is model.retired
        assert slot.is_finishing is (usable and model.missing == {"idle"})
        assert (slot.phase is SlotPhase.IDLE) is (usable and not model.missing)
        assert slot.expects_idle() is (not usable or "idle" in model.missing)


@pytest.mark.parametrize("order", [("terminal", "idle"), ("idle", "terminal")])
def test_it_is_idle_only_when_both_messages_were_read(order: tuple[str, str]) -> None:
    slot = SlotState()
    slot.predict()
    getattr(slot, order[0])()
    assert slot.phase is not SlotPhase.IDLE
    with pytest.raises(IllegalTransition):
        slot.predict()
    getattr(slot, order[1])()
    assert slot.phase is SlotPhase.IDLE
    slot.predict()
    assert slot.phase is SlotPhase.BUSY


@pytest.mark.parametrize("steps", [(), ("predict",), ("predict", "terminal"), ("predict", "idle")])
def test_poison_is_for_ever(steps: tuple[str, ...]) -> None:
    slot = SlotState()
    for step in (*steps, "poison", "terminal", "idle", "poison", "retire"):
        getattr(slot, step)()
    assert slot.phase is SlotPhase.POISONED
    with pytest.raises(IllegalTransition, match="poisoned cannot predict"):
        slot.predict()
