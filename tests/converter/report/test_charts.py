"""Where things stand in the drawings, and what is marked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.report.charts import WIDTH, accuracy_rows, range_rows, snr_chart
from converter.report.content import Accuracy, ActivationRange, ExampleBox, ExamplePicture, ReportContent
from converter.report.example_boxes import drawn_boxes

Make = Callable[..., ReportContent]


def test_bars_stand_in_order_within_the_picture(make_content: Make) -> None:
    chart = snr_chart(make_content().layers, 6.0)
    assert chart is not None
    assert [bar.kind for bar in chart.bars] == ["fine", "loss", "low"]
    for bar, after in zip(chart.bars, chart.bars[1:], strict=False):
        assert bar.x + bar.width <= after.x
    assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH and 0 <= bar.y <= chart.height for bar in chart.bars)
    assert chart.bars[0].height > chart.bars[2].height
    assert "lost 32.0 dB here" in chart.bars[1].title


def test_no_layers_no_chart() -> None:
    assert snr_chart((), 6.0) is None


finite = st.floats(-1e30, 1e30, allow_nan=False)


@given(st.tuples(finite, finite), st.tuples(finite, finite), st.lists(st.integers(0, 10**9), max_size=8))
def test_ranges_stay_within_their_row(
    seen: tuple[float, float], kept: tuple[float, float], bins: list[int]
) -> None:
    made = ActivationRange("r", min(seen), max(seen), min(kept), max(kept), 0.1, tuple(bins))
    (row,) = range_rows(ReportContent("t", "measured", "", ranges=(made,)))
    for left, width in (row.observed, row.kept):
        assert -0.01 <= left <= 100.01
        assert left + width <= 100.9
    assert row.zero is not None
    assert -0.01 <= row.zero <= 100.01
    for point in row.points.split():
        x, y = map(float, point.split(","))
        assert -0.01 <= x <= 100.9
        assert 0 <= y <= 20


def test_most_clipped_ranges_come_first() -> None:
    ranges = tuple(ActivationRange(f"r{i}", 0.0, 1.0, 0.0, 1.0, i / 100) for i in range(60))
    rows = range_rows(ReportContent("t", "measured", "", ranges=ranges))
    assert [row.name for row in rows[:3]] == ["r59", "r58", "r57"]
    assert len(rows) == 32


def test_ranges_come_from_the_layers_where_none_are_given(make_content: Make) -> None:
    rows = range_rows(make_content(ranges=()))
    assert [row.name for row in rows] == ["block0/conv"]  # all three have the same range


@pytest.mark.parametrize(
    ("accuracy", "drop", "failed"),
    [
        (Accuracy("AP", "d", 1, 0.6, 0.58, max_drop=0.01), 0.02, True),
        (Accuracy("AP", "d", 1, 0.6, 0.595, max_drop=0.01), 0.005, False),
        (Accuracy("AP", "d", 1, 0.6, 0.7, max_drop=0.01), -0.1, False),
        (Accuracy("error", "d", 1, 1.0, 1.5, "px", False, 0.2), 0.5, True),
        (Accuracy("error", "d", 1, 1.5, 1.0, "px", False, 0.2), -0.5, False),
        (Accuracy("agreement", "d", 1, None, 0.2, max_drop=0.01), None, True),
        (Accuracy("agreement", "d", 1, None, 0.995, max_drop=0.01), None, False),
    ],
)
def test_drop_is_positive_when_int8_is_worse(accuracy: Accuracy, drop: float | None, failed: bool) -> None:
    assert accuracy.drop == (None if drop is None else pytest.approx(drop))
    assert accuracy.failed is failed


def test_fractions_share_an_axis_to_one_and_units_have_their_own() -> None:
    rows = accuracy_rows((Accuracy("AP", "d", 1, 0.25, 0.5), Accuracy("error", "d", 1, 20.0, 10.0, "px")))
    assert (rows[0].float_at, rows[0].int8_at) == (25.0, 50.0)
    assert rows[1].top == pytest.approx(23.0)
    assert rows[1].float_at == pytest.approx(100 / 1.15)


def test_boxes_are_paired_once_and_by_label() -> None:
    cat = ExampleBox((0.0, 0.0, 10.0, 10.0), "cat", 0.9)
    near = ExampleBox((1.0, 0.0, 11.0, 10.0), "cat", 0.8)
    far = ExampleBox((40.0, 40.0, 50.0, 50.0), "cat", 0.8)
    dog = ExampleBox((0.0, 0.0, 10.0, 10.0), "dog", 0.7)
    picture = ExamplePicture("p", b"", 64, 64, (cat, dog), (near, cat, far))
    float_boxes, int8_boxes = drawn_boxes(picture)
    assert [box.kind for box in float_boxes] == ["same", "only"]
    assert [box.kind for box in int8_boxes] == ["only", "same", "only"]  # the better overlap wins
