from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.capture.handover import Handover
from agent.errors import SourceError


@settings(deadline=None, max_examples=40)
@given(capacity=st.integers(1, 4), count=st.integers(0, 60), pauses=st.sets(st.integers(0, 60), max_size=5))
def test_waiting_queue_loses_nothing_whoever_is_slower(capacity: int, count: int, pauses: set[int]) -> None:
    queue: Handover[int] = Handover(capacity, keep_newest=False)
    longest: list[int] = []
    tick = threading.Event()

    def produce() -> None:
        for number in range(count):
            if number % 7 == 3:
                tick.wait(0.0005)
            assert queue.put(number)
            longest.append(len(queue._items))
        queue.finish()

    thread = threading.Thread(target=produce)
    thread.start()
    taken: list[int] = []
    while not queue.ended:
        if len(taken) in pauses:
            tick.wait(0.001)
        item = queue.get(60.0)
        if item is not None:
            taken.append(item)
    thread.join()
    assert taken == list(range(count))
    assert queue.dropped == 0
    assert max(longest, default=0) <= capacity


@given(st.lists(st.booleans(), max_size=100))
def test_newest_is_kept_and_every_drop_counted(takes: list[bool]) -> None:
    queue: Handover[int] = Handover(1, keep_newest=True)
    taken = []
    for number, take in enumerate(takes):
        queue.put(number)
        if take:
            item = queue.get(0.0)
            assert item == number
            taken.append(item)
    waiting = 1 if takes and not takes[-1] else 0
    assert queue.dropped == len(takes) - len(taken) - waiting


def test_failure_is_raised_once_after_all_that_came_before() -> None:
    queue: Handover[int] = Handover(2, keep_newest=False)
    queue.put(1)
    queue.finish(SourceError("x", "broken"))
    assert queue.get(0.0) == 1
    assert not queue.ended
    with pytest.raises(SourceError, match="broken"):
        queue.get(0.0)
    assert queue.ended
    assert queue.get(0.0) is None


def test_close_frees_a_producer_that_waits() -> None:
    queue: Handover[int] = Handover(1, keep_newest=False)
    queue.put(1)
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(queue.put(2)))
    thread.start()
    queue.close()
    thread.join(60.0)
    assert results == [False]
    assert queue.ended
