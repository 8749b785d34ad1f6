"""`edgetrack-agent classify`: what every picture of a source shows, by a classification bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.records import FloatArray, Frame


def classify(
    model: Annotated[
        Path, typer.Option("--model", "-m", help="A .tflite file, its ModelSpec (.json) beside it.")
    ],
    source: Annotated[
        str,
        typer.Option(
            "--source",
            "-s",
            help="Picture, folder of pictures, video file, /dev/video0, rtsp:// or http:// URL.",
        ),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name, best first.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    device: Annotated[str, typer.Option(help="cpu, edgetpu, usb, usb:0 or pci:0.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the interpreter.")] = 2,
    runtime: Annotated[str, typer.Option(help="auto, litert or tflite-runtime.")] = "auto",
) -> None:
    """Name the class of every picture or frame, with its score; cameras go on until stopped."""
    from agent.capture.images import ImagesSource
    from agent.capture.reader import FrameReader
    from agent.capture.settings import SourceSettings
    from agent.capture.source import Source, open_source
    from agent.config import make_section
    from agent.detect.classifier import Classifier

    classifier = Classifier(model, threads=threads, device=device, runtime=runtime)
    settings = make_section(SourceSettings, {"source": source})
    names: list[str] = []

    def opened() -> Source:
        found = open_source(settings)
        if isinstance(found, ImagesSource):
            names.extend(found.names)
        return found

    with FrameReader[None](opened, settings) as reader:
        while not reader.ended:
            item = reader.get()
            if item is None:
                continue
            frame, _ = item
            best = _best(classifier(frame.image), classifier.spec.labels, top)
            name = names[frame.index] if names else None
            print(_json_line(frame, name, best) if as_json else _line(frame, name, best), flush=True)


def _best(scores: FloatArray, labels: tuple[str, ...], count: int) -> list[tuple[str, float]]:
    """Labels and scores, best first; equal scores in the order of the labels."""
    order = (-scores).argsort(kind="stable")[:count]
    return [(labels[index], float(scores[index])) for index in order.tolist()]


def _line(frame: Frame, name: str | None, best: list[tuple[str, float]]) -> str:
    shown = name or f"frame {frame.index + 1} ({frame.time_s:.2f} s)"
    return f"{shown}: " + ", ".join(f"{label} {score:.3f}" for label, score in best)


def _json_line(frame: Frame, name: str | None, best: list[tuple[str, float]]) -> str:
    content = {
        "frame": frame.index + 1,
        "time_s": round(frame.time_s, 3),
        **({"picture": name} if name else {}),
        "classes": [{"label": label, "score": round(score, 4)} for label, score in best],
    }
    return json.dumps(content, ensure_ascii=False)
