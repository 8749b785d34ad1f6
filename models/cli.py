"""`edgetrack-models`: train and evaluate. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from agent.errors import ConfigError, EdgetrackError, StorageError
from agent.version import __version__
from models.registry.commands import register as register_registry
from models.training.commands import register as register_training
from models.training.motion_commands import train_motion_command

if TYPE_CHECKING:
    from models.evaluate.tracking import TrackingScores

_LOWEST_SCORE = 0.01
"""Average precision sweeps over scores, so nearly all detections count."""
_OPTIONS = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="edgetrack-models",
    help="Train, evaluate and tune what Edgetrack runs. For the workstation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=_OPTIONS,
)
evaluate = typer.Typer(help="Measure against truth.", no_args_is_help=True, context_settings=_OPTIONS)
train = typer.Typer(help="Train a model.", no_args_is_help=True, context_settings=_OPTIONS)
tune = typer.Typer(
    help="Find settings for a scene of your own.", no_args_is_help=True, context_settings=_OPTIONS
)
app.add_typer(evaluate, name="evaluate")
app.add_typer(train, name="train")
app.add_typer(tune, name="tune")
register_training(app, train, evaluate)
train.command("motion")(train_motion_command)
register_registry(app)

GroundTruth = Annotated[
    Path, typer.Option("--gt", help="Folder of MOTChallenge sequences: SEQ/seqinfo.ini and SEQ/gt/gt.txt.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"edgetrack-models {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


@evaluate.command("tracking")
def evaluate_tracking(
    gt: GroundTruth,
    tracks: Annotated[Path, typer.Option("--tracks", help="Folder with SEQ.txt for every sequence.")],
    as_json: AsJson = False,
) -> None:
    """HOTA, DetA, AssA, MOTA, IDF1, IDSW and Frag by TrackEval, per sequence and combined."""
    from models.evaluate.tracking import evaluate_folder

    with _progress("evaluate") as progress:
        scores = evaluate_folder(gt, tracks, progress)
    if as_json:
        print(json.dumps({name: asdict(score) for name, score in scores.items()}, indent=2))
    else:
        _print_scores(scores)


@evaluate.command("detection")
def evaluate_detection(
    model: Annotated[Path, typer.Option("--model", "-m", help="A .tflite file, its ModelSpec beside it.")],
    images: Annotated[Path | None, typer.Option(help="Folder of pictures.")] = None,
    labels: Annotated[Path | None, typer.Option(help="Folder of their YOLO labels.")] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            help="Class names of the labels; default: data.yaml or labels.txt near them, else the model's."
        ),
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Video, instead of pictures.")] = None,
    gt: Annotated[
        Path | None, typer.Option("--gt", help="Its truth: MOTChallenge's gt.txt, of people.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Use every n-th frame of the video.")] = 1,
    only: Annotated[list[str] | None, typer.Option(help="Class to judge; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """AP, AP50, AP75 and AR by pycocotools, through the agent's own detector."""
    from agent.detect.settings import DetectorSettings
    from models.evaluate.run_detection import evaluate_on_images, evaluate_on_video

    settings = DetectorSettings(model=model, min_score=_LOWEST_SCORE)
    if images is not None and labels is not None and video is None and gt is None:
        scores = evaluate_on_images(settings, images, labels, names=names, only=only or ())
    elif video is not None and gt is not None and images is None and labels is None:
        scores = evaluate_on_video(settings, video, gt, every=every, only=only or ())
    else:
        raise ConfigError("evaluate detection", "expected --images with --labels, or --video with --gt")
    if as_json:
        print(json.dumps(scores.as_dict(), indent=2))
        return
    rows = {**scores.classes, f"mean of {scores.images} pictures": scores.mean}
    _print_table(
        ("class", "objects", "AP", "AP50", "AP75", "AR"),
        [
            (name, str(score.objects), *(f"{v:.3f}" for v in (score.ap, score.ap50, score.ap75, score.ar)))
            for name, score in rows.items()
        ],
    )


@tune.command("tracking")
def tune_tracking(
    gt: GroundTruth,
    output: Annotated[Path, typer.Option("--output", "-o", help="YAML file for `track --tracker`.")] = Path(
        "tracker.yaml"
    ),
    trials: Annotated[int, typer.Option(min=1, help="Settings to try.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the search: the same seed finds the same settings.")] = 0,
) -> None:
    """Search tracker settings on sequences with det/det.txt and truth, by Optuna, for the highest HOTA."""
    from models.evaluate.tune import tune_tracker

    with _progress("tune", trials) as progress:
        best = tune_tracker(gt, trials=trials, seed=seed, on_progress=progress)
    found = f"# HOTA {best.hota:.2f} on {gt.name}, with the defaults {best.default_hota:.2f}"
    lines = [f"{found}; {trials} trials, seed {seed}"]
    lines += [f"{name}: {value:g}" for name, value in best.settings.items()] or ["{}"]
    try:
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(
            str(output), f"expected a file that can be written, got {error.strerror}"
        ) from error
    print(f"{output}: HOTA {best.hota:.2f}, with the defaults {best.default_hota:.2f}")


@app.command("smooth")
def smooth_tracks(
    tracks: Annotated[
        Path, typer.Option("--tracks", help="MOTChallenge file of tracks, or a folder of such .txt files.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File or folder to write, likewise.")],
    fps: Annotated[float, typer.Option("--fps", help="Frames per second of the recordings.")] = 30.0,
    max_gap_s: Annotated[
        float, typer.Option("--max-gap-s", help="Fill gaps up to so many seconds; 0 fills none.")
    ] = 1.0,
) -> None:
    """Offline: smooth finished tracks of a recording (RTS) and fill their short gaps.

    Every box is corrected by what came after it, so the output is no online result: do not compare it
    with one.
    """
    from models.evaluate.smooth import smooth_path

    with _progress("smooth") as progress:
        done = smooth_path(tracks, output, fps, max_gap_s, progress)
    for one in done:
        print(f"{one.output}: {one.tracks} tracks, {one.boxes} boxes smoothed, {one.filled} filled (offline)")
    boxes, filled = sum(one.boxes for one in done), sum(one.filled for one in done)
    print(f"OFFLINE result, not to be compared with online ones: {boxes} boxes smoothed, {filled} filled")


@evaluate.command("motion")
def evaluate_motion(
    gt: GroundTruth,
    model: Annotated[Path, typer.Option("--model", "-m", help="The motion model, a .tflite file.")],
    gap: Annotated[int, typer.Option(min=1, help="Frames of occlusion.")] = 30,
) -> None:
    """Forecasts over gaps against truth: ADE and FDE in box heights, of the filter and of the model."""
    from models.evaluate.forecast import evaluate_forecasts

    with _progress("evaluate") as progress:
        errors = evaluate_forecasts(gt, model, gap_frames=gap, on_progress=progress)
    _print_table(
        ("sequence", "gaps", *(f"{what} {name}" for what in ("ADE", "FDE") for name in errors[0].names)),
        [(e.sequence, str(e.gaps), *(f"{v:.3f}" for v in (*e.ade, *e.fde))) for e in errors],
    )


def _print_scores(scores: dict[str, TrackingScores]) -> None:
    rows = []
    for name, score in scores.items():
        percent = (score.hota, score.deta, score.assa, score.mota, score.idf1)
        counts = (score.idsw, score.frag, score.fp, score.fn)
        rows.append((name, *(f"{value:.2f}" for value in percent), *(str(value) for value in counts)))
    _print_table(("sequence", "HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "Frag", "FP", "FN"), rows)


def _print_table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table whose last row, the sum or mean, is set apart."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for title in titles:
        table.add_column(title, justify="left" if title == titles[0] else "right", no_wrap=True)
    for number, row in enumerate(rows, 1):
        table.add_row(*row, end_section=number == len(rows) - 1)
    # A pipe has no width of its own, and 80 columns would cut the figures.
    Console(width=None if sys.stdout.isatty() else 120).print(table)


class _progress:  # noqa: N801 - reads as a function where it is used
    """A bar on standard error that is called once for each step; silent where that is no terminal."""

    def __init__(self, what: str, total: int | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(file=sys.stderr)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._what = what
        self._task = self._bar.add_task(what, total=total)

    def __enter__(self) -> _progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, step: str, total: int | None = None) -> None:
        self._bar.update(self._task, advance=1, total=total, description=f"{self._what} {step}")


def main() -> NoReturn:
    """The entry point: every error that a user can mend is one line and an exit code."""
    try:
        app()
    except ConfigError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        sys.exit(error.exit_code)
    except EdgetrackError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


if __name__ == "__main__":
    main()
