"""A report with every part filled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from converter.edgetpu.memory import ParameterMemory
from converter.edgetpu.reason import Reason
from converter.edgetpu.verdict import OperatorVerdict, Verdict
from converter.layer_error import LayerError
from converter.report.content import (
    Accuracy,
    ActivationRange,
    Calibration,
    ExampleBox,
    ExamplePicture,
    FileSize,
    Latency,
    Remedy,
    ReportContent,
    RuntimeComparison,
    RuntimeResult,
)

CAT = ExampleBox((1.0, 1.0, 20.0, 20.0), "cat", 0.9)
DOG = ExampleBox((30.0, 5.0, 60.0, 40.0), "dog", 0.8)


def picture(kind: str = ".jpg") -> bytes:
    content: bytes = cv2.imencode(kind, np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    return content


def layer(index: int, snr_db: float, input_snr_db: float, cause: str = "", **fields: Any) -> LayerError:
    made = LayerError(
        index, "CONV_2D", f"block{index}/conv", f"block{index}/conv", snr_db, input_snr_db,
        -1.0, 3.0, -1.0, 2.9, 0.001, 200, cause,
    )  # fmt: skip
    return replace(made, **fields)


@pytest.fixture
def make_content() -> Callable[..., ReportContent]:
    """A full report; keywords replace parts of it."""

    def make(**parts: Any) -> ReportContent:
        operators = (
            OperatorVerdict(0, "CONV_2D", 3, True, None),
            OperatorVerdict(1, "ELU", 1, False, Reason("unsupported", "not there", "use RELU")),
            OperatorVerdict(2, "RELU", 2, False, Reason("behind-cpu", "lies behind 1", "see 1")),
        )
        content = ReportContent(
            title="tiny",
            verdict="passed",
            summary="It lost 0.002.",
            facts=(("source", "tiny.keras"), ("seed", "7")),
            accuracy=(
                Accuracy("AP50", "val", 20, 0.6, 0.598, max_drop=0.01),
                Accuracy("mean error", "test", 9, 1.5, 1.6, "px", higher_is_better=False),
                Accuracy("box agreement", "val", 20, None, 0.99),
            ),
            sizes=(FileSize("float", 4_000_000), FileSize("int8", 1_000_000)),
            latencies=(Latency("LiteRT 2.3.0", "int8", 3.2, 3.9, 2, 50),),
            runtimes=RuntimeComparison(
                "AP50", "val", 20,
                (RuntimeResult("LiteRT 2.3.0", 0.598), RuntimeResult("tflite-runtime 2.14.0", 0.596)),
                0.97, 4,
            ),
            calibration=Calibration("frames", 100, "min-max", ("few samples",)),
            remedies=(Remedy("bias correction", "shifts biases", "AP50", 0.5, 0.59, True),),
            ranges=(ActivationRange("act", -1.0, 4.0, -1.0, 3.0, 0.02, (1, 5, 9, 2)),),
            layers=(layer(0, 48.0, 120.0), layer(1, 9.0, 41.0, "2 % are cut"), layer(2, 9.5, 9.0)),
            edgetpu=Verdict(operators, None, 1, False, ParameterMemory(10, 13, 5), ("a note",)),
            examples=(
                ExamplePicture(
                    "a.jpg", picture(), 64, 48,
                    (CAT, DOG), (replace(CAT, box=(1.0, 2.0, 20.0, 21.0)),),
                ),
            ),
            warnings=("heed this",),
        )  # fmt: skip
        return replace(content, **parts)

    return make
