"""Samples that a model's activation ranges are taken from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from agent.errors import DataError, ModelError
from agent.records import ImageArray
from agent.vision.letterbox import Letterbox
from agent.vision.model_spec import InputSpec
from agent.vision.quantize import TensorInfo
from converter.calibration.arrays import load_arrays
from converter.calibration.pictures import (
    VIDEO_SUFFIXES,
    FrameChoice,
    Pictures,
    folder_pictures,
    video_pictures,
)
from converter.calibration.recording import RECORDING_SUFFIX, recorded_pictures
from converter.calibration.variety import (
    MIN_SAMPLES,
    constant_inputs,
    is_few,
    is_uniform,
    refuse_constant,
)
from converter.load.float_model import ONLY_INPUT, FloatInputs, bound


@dataclass(frozen=True)
class Samples:
    """Calibration samples that can be gone through again and again.

    Args:
        source: what they came from, for the report.
        count: how many.
        warnings: too few, too uniform, unreadable pictures.
        each: yields them, by input name (`ONLY_INPUT` where the source names none).
        pictures: the pictures themselves; None for arrays.
        doubts: "few", "nearly the same": why agreement on them shows little.
        constant: flat value of the inputs that have the same one in all samples, by name.
    """

    source: str
    count: int
    warnings: tuple[str, ...]
    each: Callable[[], Iterator[FloatInputs]]
    pictures: Pictures | None = None
    doubts: tuple[str, ...] = ()
    constant: Mapping[str, float] = field(default_factory=dict)

    def bound(self, inputs: Sequence[str], states: Sequence[str] = ()) -> Callable[[], Iterator[FloatInputs]]:
        """The same under a model's input names.

        Raises:
            DataError: the samples name inputs that the model has not, leave out one of several, or hold one
                that never varies; a single number may stay as it is.
        """
        needed = [name for name in inputs if name not in states]
        first = bound(next(self.each()), needed, self.source)
        flat = {name: value for name, value in self.constant.items() if name in needed}
        refuse_constant(
            {name: value for name, value in flat.items() if first[name].size > 1}, self.count, self.source
        )
        return lambda: (bound(sample, needed, self.source) for sample in self.each())


def input_tensor(spec: InputSpec) -> TensorInfo:
    """The float tensor, channels last, that pictures are written into for calibration."""
    channels = 1 if spec.colour == "gray" else 3
    return TensorInfo("input", (1, spec.height, spec.width, channels), np.dtype(np.float32))


def preprocess(images: Iterator[ImageArray], spec: InputSpec) -> Iterator[FloatInputs]:
    """Pictures as the model's float input, by the same code that runs on the device."""
    spec = spec.model_copy(update={"layout": "nhwc"})
    letterbox = Letterbox(spec, input_tensor(spec))
    for image in images:
        buffer = letterbox.new_buffer()
        letterbox(image, buffer)
        yield {ONLY_INPUT: buffer}


def load_samples(
    path: Path,
    spec: InputSpec | None,
    max_samples: int,
    frames: FrameChoice = "even",
    video: Path | None = None,
) -> Samples:
    """Samples from a folder of pictures, a video, an `.npz` or a recording of the agent.

    Args:
        path: of the source.
        spec: how pictures enter the model; may be None for `.npz` of ready inputs.
        max_samples: at most this many, chosen evenly.
        frames: of a video: evenly spaced in time, or more of them where more moves.
        video: that a recording was made of, or its folder of pictures.

    Raises:
        DataError: nothing there that can be read, arrays that do not fit each other, or nothing that varies.
        ModelError: pictures without a spec.
    """
    if not path.exists():
        raise DataError(str(path), "expected pictures, a video, an .npz or a recording, got no such file")
    if path.suffix.lower() in (".npz", ".npy"):
        arrays = load_arrays(path, max_samples)
        count = len(next(iter(arrays.values())))
        samples = Samples(
            str(path.name),
            count,
            (),
            lambda: ({name: array[i : i + 1] for name, array in arrays.items()} for i in range(count)),
        )
    else:
        if spec is None:
            raise ModelError(
                str(path),
                "expected a ModelSpec that says how pictures enter the model, got none",
                'give --spec with {"name": …, "task": …, "input": {"width": …, "height": …, '
                '"colour": "rgb", "mean": [0], "std": [255]}}',
            )
        pictures = _pictures(path, max_samples, frames, video)
        samples = Samples(
            path.name, pictures.count, pictures.warnings, lambda: preprocess(pictures.each(), spec), pictures
        )
    flat = constant_inputs(samples.each() if samples.pictures is None else _shown(samples.pictures))
    if len(flat) == len(next(samples.each())):
        refuse_constant(flat, samples.count, str(path))
    return _with_doubts(replace(samples, constant=flat))


def _shown(pictures: Pictures) -> Iterator[dict[str, ImageArray]]:
    """Pictures before the letterbox gives all of them an edge."""
    return ({ONLY_INPUT: image[None]} for image in pictures.each())


def _pictures(path: Path, max_samples: int, frames: FrameChoice, video: Path | None) -> Pictures:
    if path.suffix.lower() == RECORDING_SUFFIX:
        if video is None:
            raise DataError(
                str(path),
                "expected --video beside a recording, which holds no pictures, got none",
                "give the video or the folder of pictures that the agent ran over",
            )
        return recorded_pictures(path, video, max_samples)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return video_pictures(path, max_samples, frames)
    return folder_pictures(path, max_samples)


def _with_doubts(samples: Samples) -> Samples:
    """The same, with a warning where they are too few or too uniform."""
    doubts, warnings = [], []
    if is_few(samples.count):
        doubts.append("few")
        warnings.append(
            f"{samples.count} calibration samples: single ones decide on the ranges; give "
            f"{MIN_SAMPLES} or more, better 100"
        )
    if is_uniform(samples.each()):
        doubts.append("nearly the same")
        warnings.append(
            "the calibration samples are nearly the same: ranges will fit this one scene "
            "only; give pictures of different places and times"
        )
    return replace(samples, warnings=(*samples.warnings, *warnings), doubts=tuple(doubts))
