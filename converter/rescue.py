"""What is tried when int8 lost too much, one thing after the other, and what each gained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from converter.engine import Build, Engine, names_of
from converter.parity.measure import Parity
from converter.ranges import least_squared_error, min_max, percentile
from converter.report.content import Remedy
from converter.tflite_edit.bias import correct_biases, layer_inputs
from converter.tflite_edit.edit import EditableModel
from converter.tflite_edit.equalize import equalisable_outputs, equalize
from converter.tflite_edit.silu import equalize_silus, statistics_needed

Measure = Callable[[Path], Parity]


@dataclass(frozen=True)
class Candidate:
    """An int8 file, how it was made and what it is worth."""

    path: Path
    how: Build
    parity: Parity


BASELINE = Build("min-max", min_max)
SHARES = (0.5, 0.75)
"""Of the difference between channels that goes to the weights, in the order of trying."""
EQUALISED_SAMPLES = 128
"""Samples whose largest values decide: a channel that reaches further than they knew is cut off."""


def rescue(
    engine: Engine, first: Candidate, measure: Measure, progress: Callable[[str], None] | None = None
) -> tuple[Candidate, list[Remedy]]:
    """Try to bring an int8 model within its limits; stops at the first that is.

    Args:
        first: what plain min-max calibration gave.
        measure: judges an int8 file.
        progress: told what is tried.

    Returns:
        The best candidate, and what was tried.
    """
    best, tried = first, []

    def attempt(name: str, what: str, how: Build) -> None:
        nonlocal best
        if progress is not None:
            progress(name)
        path = engine.build(how)
        candidate = Candidate(path, how, measure(path))
        better = candidate.parity.margin > best.parity.margin
        metric, before, after = _compared(best.parity, candidate.parity)
        tried.append(Remedy(name, what, metric, before, after, better))
        best = candidate if better else best

    if best.parity.failures:
        before = engine.state()
        edited = EditableModel(engine.content)
        statistics = engine.channel_statistics(statistics_needed(edited))
        limits = equalize_silus(edited, statistics.low, statistics.high)
        if limits:
            engine.change(edited.content(), {**engine.limits, **limits})
            what = f"brings the channels before {len(limits) // 2} SiLUs to one size: small ones are not lost"
            attempt("equalisation through SiLU", what, best.how)
            if not tried[-1].kept:
                engine.restore(before)
    for share in SHARES:
        if not best.parity.failures:
            break
        before = engine.state()
        edited = EditableModel(engine.content)
        statistics = engine.channel_statistics(equalisable_outputs(edited), EQUALISED_SAMPLES)
        count = equalize(edited, statistics.low, statistics.high, share)
        if not count:
            break
        engine.change(edited.content())
        what = f"brings the channels of {count} layers closer; weights take {share:.0%} of the difference"
        attempt("equalisation through ReLU", what, best.how)
        if tried[-1].kept:
            break
        engine.restore(before)
    if best.parity.failures:
        before = engine.state()
        edited = EditableModel(engine.content)
        count = correct_biases(edited, engine.channel_statistics(layer_inputs(edited)).mean)
        engine.correct(edited.content())
        attempt(
            "bias correction",
            f"takes the mean error of rounded weights off the biases of {count} layers",
            best.how,
        )
        if not tried[-1].kept:
            engine.restore(before)
    for name, what, method in (
        (
            "percentile clipping 99.999",
            "leaves the outermost 0.001 % of each activation's values out",
            percentile(0.99999),
        ),
        (
            "percentile clipping 99.99",
            "leaves the outermost 0.01 % of each activation's values out",
            percentile(0.9999),
        ),
        (
            "MSE clipping",
            "gives each activation the range with the smallest mean squared error",
            least_squared_error,
        ),
    ):
        if best.parity.failures:
            attempt(name, what, Build(name, method))
    if best.parity.failures:
        tail = engine.tail()
        if tail:
            what = f"leaves {names_of(tail)} in float, on the CPU"
            attempt("last operators in float", what, Build(best.how.method, best.how.ranges, tail))
    return best, tried


def _compared(before: Parity, after: Parity) -> tuple[str, float, float]:
    """The judged measure that is worst before, with both values."""
    worst = before.worst
    return before.accuracy[worst].metric, before.accuracy[worst].int8_value, after.accuracy[worst].int8_value
