"""Whether both runtimes compute the same: code by code, and as the task measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError, ModelError
from converter.latency import installed_runtimes
from converter.parity.datasets import ArraySet, PictureSet, model_labels, thinned
from converter.parity.measure import Limits, Side, measure
from converter.parity.runner import Runner
from converter.report.content import RuntimeComparison, RuntimeResult

MAX_PICTURES = 24
"""tflite-runtime takes 10 to 40 times as long as LiteRT for int8 on a PC: a report cannot wait for more."""
MAX_ARRAYS = 200


def compare_runtimes(
    reference: Side,
    int8: Side,
    dataset: PictureSet | ArraySet,
    samples: Sequence[Mapping[str, NDArray[np.float32]]],
    limits: Limits | None = None,
    max_samples: int | None = None,
) -> RuntimeComparison | None:
    """Run an int8 file on every runtime here.

    Args:
        reference: the float model, for measures that need it.
        int8: the file.
        dataset: to measure on; thinned out evenly.
        samples: inputs whose output codes are compared.
        limits: as for `measure`.
        max_samples: of the data set; None: `MAX_PICTURES` or `MAX_ARRAYS`.

    Returns:
        None where no runtime loads the file or nothing can be measured.
    """
    most = MAX_PICTURES if isinstance(dataset, PictureSet) else MAX_ARRAYS
    part = thinned(dataset, max_samples or most)
    if isinstance(part, PictureSet) and not any(map(len, model_labels(part, int8.spec.labels))):
        part = replace(part, boxes=None)  # the few may show nothing that is labelled
    results, codes, metric, count = [], [], "", 0
    for runtime, name in installed_runtimes().items():
        try:
            runner = Runner(int8.path, runtime=runtime, threads=1)
        except ModelError:
            continue  # which runtimes can load a file is what `inspect` tells
        try:
            parity = measure(reference, Side(int8.path, int8.spec, runtime), part, limits or Limits())
        except DataError:
            continue  # they may show nothing that the model finds
        first = parity.accuracy[0]
        results.append(RuntimeResult(name, first.int8_value))
        metric, count = first.metric, first.samples
        if all(tensor.quantized for tensor in runner.outputs):
            codes.append([runner.codes(sample) for sample in samples])
    if not results:
        return None
    within, largest = _difference(codes)
    return RuntimeComparison(metric, part.name, count, tuple(results), within, largest)


def _difference(codes: Sequence[Sequence[Sequence[NDArray[np.int8]]]]) -> tuple[float | None, int | None]:
    """Of two runtimes' outputs, the share of codes that agree within 1 and the largest difference.

    LiteRT's kernels round once where tflite-runtime's round twice, so single codes differ by one; behind many
    layers such differences add up, in cells without an object most of all.
    """
    if len(codes) != 2 or not codes[0]:
        return None, None
    differences = np.concatenate(
        [
            np.abs(a.astype(np.int32) - b).reshape(-1)
            for one, other in zip(*codes, strict=True)
            for a, b in zip(one, other, strict=True)
        ]
    )
    return float((differences <= 1).mean()), int(differences.max())
