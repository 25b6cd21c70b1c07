"""The allocator against a model: nothing is lost, out of order, or refused without a reason."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from supervisor.allocator import Allocator
from supervisor.interface import AtCapacity


class JobNumber(int):
    """To the allocator a job is a name, and the order in which it was accepted."""

    accepted = 0


class Slot:
    """What the allocator delivers to, as strict as a slot's inbox."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inbox: list[JobNumber] = []
        self.expects = False

    def deliver(self, job: JobNumber) -> None:
        assert self.expects, f"{self.name} got a job without being available"
        self.expects = False
        self.inbox.append(job)

    def available_to(self, allocator: Allocator) -> None:
        self.expects = True
        allocator.available(self)

    def __repr__(self) -> str:
        return self.name


class AllocatorMachine(RuleBasedStateMachine):
    """Slots go idle -> job -> finishing -> idle, or away; the model says who gets what."""

    @initialize(queue=st.integers(0, 3), count=st.integers(1, 4))
    def begin(self, queue: int, count: int) -> None:
        self.queue = queue
        self.allocator = Allocator(queue)
        self.slots = [Slot(f"slot {index}") for index in range(count)]
        self.waiting: deque[JobNumber] = deque()
        self.idle: deque[Slot] = deque()
        self.running: dict[Slot, JobNumber] = {}
        self.finishing: set[Slot] = set()
        self.jobs = 0

    # --- the model ----------------------------------------------------------------------------

    def expect_hand_over(self) -> None:
        while self.waiting and self.idle:
            self.running[self.idle.popleft()] = self.waiting.popleft()

    def new_job(self) -> JobNumber:
        self.jobs += 1
        return JobNumber(self.jobs)

    def away(self) -> list[Slot]:
        here = {*self.idle, *self.running, *self.finishing}
        return [slot for slot in self.slots if slot not in here]

    # --- steps --------------------------------------------------------------------------------

    @rule()
    def submit(self) -> None:
        job = self.new_job()
        has_room = bool(self.idle) or len(self.waiting) < self.queue + len(self.finishing)
        assert self.allocator.has_room is has_room
        if not has_room:
            with pytest.raises(AtCapacity):
                self.allocator.submit(job)
            return
        self.allocator.submit(job)
        self.waiting.append(job)
        self.expect_hand_over()

    @rule(data=st.data())
    @precondition(lambda self: self.away())
    def slot_joins(self, data: st.DataObject) -> None:
        self.becomes_idle(data.draw(st.sampled_from(self.away())))

    @rule(data=st.data())
    @precondition(lambda self: self.running)
    def slot_answers(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.running, key=repr)))
        del self.running[slot]
        slot.inbox.clear()
        self.allocator.finishing(slot)
        self.finishing.add(slot)

    @rule(data=st.data())
    @precondition(lambda self: self.finishing)
    def slot_is_idle(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.finishing, key=repr)))
        self.finishing.remove(slot)
        self.becomes_idle(slot)

    @rule(data=st.data())
    @precondition(lambda self: self.running)
    def slot_was_idle_before_it_answered(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.running, key=repr)))
        del self.running[slot]
        self.becomes_idle(slot)

    def becomes_idle(self, slot: Slot) -> None:
        slot.inbox.clear()
        self.idle.append(slot)
        self.expect_hand_over()
        slot.available_to(self.allocator)

    @rule(data=st.data(), put_back=st.booleans())
    def slot_leaves(self, data: st.DataObject, put_back: bool) -> None:
        slot = data.draw(st.sampled_from(self.slots))
        self.allocator.remove(slot)
        slot.inbox.clear()
        slot.expects = False
        if slot in self.idle:
            self.idle.remove(slot)
        self.finishing.discard(slot)
        job = self.running.pop(slot, None)
        if job is not None and put_back:
            self.waiting = deque(sorted([*self.waiting, job]))
            self.expect_hand_over()
            self.allocator.put_back(job)

    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        job = data.draw(st.integers(0, self.jobs))
        waits = job in self.waiting
        assert self.allocator.withdraw(job) is waits
        if waits:
            self.waiting.remove(job)

    @rule()
    def withdraw_all(self) -> None:
        assert self.allocator.withdraw_all() == list(self.waiting)
        self.waiting.clear()

    # --- what always holds --------------------------------------------------------------------

    @invariant()
    def everybody_has_what_the_model_says(self) -> None:
        for slot in self.slots:
            assert slot.inbox == ([self.running[slot]] if slot in self.running else [])
        assert self.allocator.waiting == len(self.waiting)

    @invariant()
    def no_job_waits_beside_an_idle_slot(self) -> None:
        assert not (self.waiting and self.idle)


TestAllocator = AllocatorMachine.TestCase
TestAllocator.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_one_client_after_another_is_never_refused() -> None:
    allocator, slot = Allocator(0), Slot("only")
    slot.available_to(allocator)
    for job in range(100):
        allocator.submit(JobNumber(job))
        # Answered: the client sends its next request before the slot is idle.
        allocator.finishing(slot)
        assert allocator.has_room
        slot.available_to(allocator)
    assert slot.inbox == list(range(100))


def test_a_finishing_slot_lets_one_wait_and_no_more() -> None:
    allocator, slot = Allocator(0), Slot("only")
    slot.available_to(allocator)
    allocator.submit(JobNumber(1))
    with pytest.raises(AtCapacity):
        allocator.submit(JobNumber(2))
    allocator.finishing(slot)
    allocator.submit(JobNumber(3))
    with pytest.raises(AtCapacity):
        allocator.submit(JobNumber(4))
    slot.available_to(allocator)
    assert slot.inbox == [1, 3]


def test_a_job_that_is_put_back_goes_first_though_nothing_may_wait() -> None:
    allocator, slots = Allocator(1), [Slot("a"), Slot("b"), Slot("c")]
    jobs = [JobNumber(number) for number in range(3)]
    for slot in slots[:2]:
        slot.available_to(allocator)
    for job in jobs:
        allocator.submit(job)
    # Their worker is gone; whichever slot unwinds first, the older job goes first again.
    allocator.put_back(jobs[1])
    allocator.put_back(jobs[0])
    for slot in slots:
        slot.inbox.clear()
        slot.available_to(allocator)
    assert [slot.inbox for slot in slots] == [[0], [1], [2]]


def test_the_slot_that_has_been_idle_longest_is_taken() -> None:
    allocator, slots = Allocator(0), [Slot("a"), Slot("b"), Slot("c")]
    for slot in slots:
        slot.available_to(allocator)
    allocator.submit(JobNumber(1))
    allocator.submit(JobNumber(2))
    assert [slot.inbox for slot in slots] == [[1], [2], []]


def test_a_slot_that_went_away_gets_nothing() -> None:
    allocator, gone, here = Allocator(1), Slot("gone"), Slot("here")
    gone.available_to(allocator)
    allocator.remove(gone)
    allocator.submit(JobNumber(1))
    assert gone.inbox == []
    here.available_to(allocator)
    assert here.inbox == [1]


def test_a_slot_that_went_away_while_finishing_admits_nobody() -> None:
    allocator, slot = Allocator(0), Slot("only")
    allocator.finishing(slot)
    assert allocator.has_room
    allocator.remove(slot)
    with pytest.raises(AtCapacity):
        allocator.submit(JobNumber(1))


def test_room_to_wait_is_no_free_slot() -> None:
    allocator, slot = Allocator(3), Slot("only")
    slot.available_to(allocator)
    assert allocator.has_free_slot
    allocator.submit(JobNumber(1))
    assert (allocator.has_free_slot, allocator.has_room) == (False, True)
    allocator.finishing(slot)
    assert allocator.has_free_slot
