from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from agent.capture.backoff import backoff_s


@given(attempt=st.integers(1, 10_000), seed=st.integers(0, 100))
def test_wait_lies_in_the_upper_half_of_the_doubling_one(attempt: int, seed: int) -> None:
    whole = min(30.0, 0.5 * 2.0 ** min(attempt - 1, 50))
    assert whole / 2 <= backoff_s(attempt, 0.5, 30.0, random.Random(seed)) <= whole


def test_waits_of_several_cameras_differ() -> None:
    waits = {backoff_s(5, 1.0, 30.0, random.Random(seed)) for seed in range(20)}
    assert len(waits) == 20
    assert max(waits) - min(waits) > 3.0
