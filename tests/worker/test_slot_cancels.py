"""Which prediction a `Cancel` means: the state of one slot, without signals."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worker.slot_cancels import SlotCancels


def arrived() -> bool:
    return True


def nothing_arrived() -> bool:
    return False


def test_the_running_prediction() -> None:
    cancels = SlotCancels()
    assert not cancels.begin("p1")
    assert not cancels.request("another", nothing_arrived)
    assert not cancels.cancelled
    assert cancels.request("p1", nothing_arrived)
    assert cancels.cancelled
    assert cancels.finish()
    assert not cancels.cancelled


def test_without_an_id_it_means_what_runs() -> None:
    cancels = SlotCancels()
    cancels.begin("p1")
    assert cancels.request(None, nothing_arrived)


def test_without_an_id_it_means_what_can_be_read() -> None:
    cancels = SlotCancels()
    assert not cancels.request(None, nothing_arrived)
    assert not cancels.begin("p1")
    cancels.finish()
    assert not cancels.request(None, arrived)
    assert cancels.begin("p2")
    cancels.finish()
    cancels.reading()
    cancels.request(None, nothing_arrived)
    assert cancels.begin("p3")
    cancels.finish()
    cancels.reading()
    cancels.reading(request=False)
    cancels.request(None, nothing_arrived)
    assert not cancels.begin("p4")


def test_what_is_not_there_yet_is_remembered_for_the_next_only() -> None:
    cancels = SlotCancels()
    cancels.request("p1", nothing_arrived)
    assert cancels.begin("p1")
    cancels.finish()
    cancels.request("p2", nothing_arrived)
    assert not cancels.begin("p3")
    cancels.finish()
    assert not cancels.begin("p2")


def test_what_has_ended_is_not_remembered() -> None:
    cancels = SlotCancels()
    cancels.begin("p1")
    cancels.finish()
    cancels.request("p1", nothing_arrived)
    assert not cancels.begin("p1")
    cancels.finish()
    cancels.request("p1", arrived)  # the same id again, on its way
    assert cancels.begin("p1")


class CancelMachine(RuleBasedStateMachine):
    """Whatever happens, only what was named, or what ran or was arriving, is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.cancels = SlotCancels()
        self.running: str | None = None
        self.named: set[str] = set()
        self.coming = False
        self.any_coming = False

    @precondition(lambda self: self.running is None)
    @rule(id=st.sampled_from("abc"))
    def begin(self, id: str) -> None:
        cancelled = self.cancels.begin(id)
        assert not cancelled or id in self.named or self.any_coming
        self.running = id
        self.named = {id} if cancelled else set()
        self.coming = self.any_coming = False

    @precondition(lambda self: self.running is None)
    @rule(request=st.booleans())
    def reading(self, request: bool) -> None:
        self.cancels.reading(request=request)
        self.coming = request

    @rule(id=st.sampled_from(["a", "b", "c", None]), readable=st.booleans())
    def request(self, id: str | None, readable: bool) -> None:
        interrupt = self.cancels.request(id, lambda: readable)
        assert interrupt == (self.running is not None and id in (None, self.running))
        if self.running is None and id is None:
            self.any_coming = self.coming or readable
        elif id is not None:
            self.named.add(id)
        elif self.running:
            self.named.add(self.running)

    @precondition(lambda self: self.running is not None)
    @rule()
    def finish(self) -> None:
        cancelled = self.cancels.finish()
        assert cancelled == (self.running in self.named)
        self.running = None
        self.named = set()

    @invariant()
    def nothing_is_cancelled_when_nothing_runs(self) -> None:
        assert self.running is not None or not self.cancels.cancelled


TestCancelMachine = CancelMachine.TestCase
