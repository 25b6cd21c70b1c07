"""Places in all and for one host."""

from __future__ import annotations

import gc
import weakref

import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.places import PlacesByHost


async def test_a_host_has_its_share_and_all_together_have_no_more_than_all() -> None:
    places = PlacesByHost(total=5, per_host=2)
    taken: list[str] = []

    async def take(host: str) -> None:
        async with places.of(host):
            taken.append(host)
            await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for host in "aaabbbccc":
            nursery.start_soon(take, host)
            await wait_all_tasks_blocked()
        assert taken == list("aabbc")
        nursery.cancel_scope.cancel()


async def test_who_leaves_while_waiting_takes_nothing_along() -> None:
    places = PlacesByHost(total=1, per_host=1)
    first, second = places.of("a"), places.of("b")
    await first.acquire()
    for waiting in (first, second):
        with trio.move_on_after(0):
            await waiting.acquire()
    first.release()
    with trio.fail_after(1):
        await second.acquire()


async def test_places_are_given_in_the_order_of_asking() -> None:
    places = PlacesByHost(total=1, per_host=1).of("a")
    order: list[int] = []

    async def take(number: int) -> None:
        async with places:
            order.append(number)

    await places.acquire()
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(take, number)
            await wait_all_tasks_blocked()
        places.release()
    assert order == list(range(5))


def test_hosts_are_forgotten() -> None:
    places = PlacesByHost(total=1, per_host=1)
    kept = places.of("a")
    assert places.of("a") is kept
    forgotten = [weakref.ref(kept), weakref.ref(places.of("b"))]
    del kept
    gc.collect()
    assert [each() for each in forgotten] == [None, None]
