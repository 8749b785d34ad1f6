from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.backoff import Backoff


@given(attempts=st.integers(1, 2_000), seed=st.integers(0, 100))
def test_wait_lies_in_the_upper_half_of_the_doubling_one(attempts: int, seed: int) -> None:
    backoff = Backoff(0.5, 30.0, random.Random(seed))
    for attempt in range(attempts):
        whole_s = min(30.0, 0.5 * 2.0 ** min(attempt, 50))
        assert whole_s / 2 <= backoff.next_s() <= whole_s
    assert backoff.attempts == attempts


def test_waits_of_several_cameras_differ() -> None:
    waits = {Backoff(16.0, 30.0, random.Random(seed)).next_s() for seed in range(20)}
    assert len(waits) == 20
    assert max(waits) - min(waits) > 3.0


def test_success_makes_the_next_wait_a_short_one() -> None:
    backoff = Backoff(1.0, 30.0)
    assert max(backoff.next_s() for _ in range(10)) > 15.0
    backoff.reset()
    assert backoff.next_s() <= 1.0


def test_first_wait_is_never_longer_than_the_longest() -> None:
    assert Backoff(0.25, 0.1).next_s() <= 0.1
