"""`edgetrack-agent`: what a user types. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import sys

try:
    import logging
    from pathlib import Path
    from typing import Annotated, NoReturn

    import typer

    from agent.classify import classify
    from agent.cli_watch import watch
    from agent.errors import ConfigError, EdgetrackError
    from agent.version import __version__
except KeyboardInterrupt:  # Ctrl-C while the program loads, before `main` can catch it
    sys.exit(130)

app = typer.Typer(
    name="edgetrack-agent",
    help="Watch cameras, track what moves, and publish alerts over MQTT without losing one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The configuration file.")]
Model = Annotated[
    Path, typer.Option("--model", "-m", help="A .tflite file, its ModelSpec (.json) beside it.")
]
Source = Annotated[
    str,
    typer.Option(
        "--source", "-s", help="Video file, folder of pictures, /dev/video0, rtsp:// or http:// URL."
    ),
]
Labels = Annotated[
    Path | None, typer.Option("--labels", help="Class names, one a line, for models without a spec.")
]
Broker = Annotated[str | None, typer.Option("--broker", help="mqtt://host[:port] or mqtts://…")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads of the interpreter.")]
Device = Annotated[str, typer.Option("--device", help="cpu, edgetpu, usb, usb:0 or pci:0.")]
Runtime = Annotated[str, typer.Option("--runtime", help="auto, litert or tflite-runtime.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"edgetrack-agent {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: ConfigFile,
    annotate: Annotated[
        Path | None,
        typer.Option(help="Folder for an annotated video of each camera; to see what the agent saw."),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Folder for a recording (detections, tracks, times) of each camera.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Run until stopped; with files as sources, until their end."""
    from agent.app import run_config

    run_config(config, annotate=annotate, record=record, progress=not quiet and sys.stderr.isatty())


@app.command()
def demo(
    broker: Broker = None,
    output: Annotated[Path, typer.Option(help="Folder for the annotated clip and picture.")] = Path(
        "demo-output"
    ),
    seconds: Annotated[float | None, typer.Option(min=1.0, help="Only this much of the clip.")] = None,
) -> None:
    """Camera to alert and back over real MQTT, on a bundled clip; exit 0 only if alerts came back."""
    from agent.demo.run import run_demo

    raise typer.Exit(run_demo(broker, output, seconds))


@app.command()
def check(config: ConfigFile) -> None:
    """Check a configuration and the files that it names; exit 78 and a line per fault if there are any."""
    from agent.config_check import check_config
    from agent.config_notes import config_notes
    from agent.doctor.installation import installation_of
    from agent.doctor.machine import unit_properties, unit_runs

    installation = installation_of(config)
    service_runs = unit_runs(unit_properties(installation.unit))
    with installation.credentials():
        checked = check_config(config, tpu_in_use=service_runs, other_user=installation.state is not None)
    for name, camera in checked.cameras.items():
        if service_runs and camera.detector.device != "cpu":
            print(f"{config} cameras.{name}.detector: not tried, the running service holds its device")
    for note in config_notes(config, checked):
        print(note)
    print(f"{config}: ok")


@app.command()
def init(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The file to write.")] = Path(
        "edgetrack.yaml"
    ),
    device: Annotated[str | None, typer.Option(help="Name of this device; default: the host's.")] = None,
    broker: Broker = None,
    username: Annotated[str | None, typer.Option(help="User at the broker; empty for none.")] = None,
    source: Annotated[
        str | None, typer.Option("--source", "-s", help="Camera: /dev/video0, picamera:0, URL or file.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="A .tflite file, or `motion` for none.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; defaults for what is not given.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Ask five questions, find the cameras, and write a commented configuration that passes `check`."""
    from agent.first_answers import Answers
    from agent.first_config import write_first_config

    given = Answers(device=device, broker=broker, username=username, source=source, model=model)
    write_first_config(config, given, ask=not yes, force=force)


@app.command()
def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="[CONFIG.yaml]", help="The configuration; without it only the machine."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Look at everything that an agent needs, and say what to do next; exit 1 if anything fails."""
    from agent.doctor.report import show

    raise typer.Exit(show(config, as_json=as_json))


@app.command()
def schema(
    what: Annotated[
        str, typer.Argument(metavar="[config|alert|tracks|asyncapi]", help="Of what.")
    ] = "config",
) -> None:
    """Write the JSON Schema of the configuration, an alert or the track stream, or AsyncAPI of all topics."""
    from agent.example import document

    print(document(what))


@app.command()
def example() -> None:
    """Write a configuration with every setting, its meaning and its default."""
    from agent.example import example as write_example

    print(write_example(), end="")


app.command()(watch)
app.command()(classify)


@app.command()
def detect(
    model: Model,
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="Detections in MOTChallenge format.")],
    labels: Labels = None,
    min_score: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Default: the model's own.")
    ] = None,
    device: Device = "cpu",
    threads: Threads = 2,
    runtime: Runtime = "auto",
) -> None:
    """Detect on a video or folder and write `frame, -1, left, top, width, height, score, class` lines."""
    from agent.offline import detect_to_file

    detect_to_file(
        model, labels, source, output, min_score=min_score, device=device, threads=threads, runtime=runtime
    )


@app.command()
def track(
    detections: Annotated[
        Path,
        typer.Option(
            "--detections", "-d", help="A det.txt, or a folder of SEQ/det/det.txt with SEQ/seqinfo.ini."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="A file, or a folder for SEQ.txt files.")],
    fps: Annotated[
        float | None, typer.Option(min=0.01, help="Frames a second; default: seqinfo.ini, else 30.")
    ] = None,
    tracker: Annotated[
        Path | None, typer.Option("--tracker", help="YAML file with tracker settings, as under `tracker:`.")
    ] = None,
) -> None:
    """Track detections in MOTChallenge format, online, one frame at a time."""
    from agent.offline import track_files

    track_files(detections, output, fps, tracker)


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="Made by `run --record`.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="Whose rules are applied.")],
    camera: Annotated[str | None, typer.Option(help="Whose rules; default: the recording's camera.")] = None,
    retrack: Annotated[bool, typer.Option("--retrack", help="Track the recorded detections again.")] = False,
    explain: Annotated[int | None, typer.Option(min=1, help="Print why this incident came about.")] = None,
    explain_rule: Annotated[str | None, typer.Option(help="Print all that a rule decided.")] = None,
) -> None:
    """Put a recording through the rules again, faster than it happened; the same every time."""
    from agent.replay import replay_recording

    replay_recording(recording, config, camera, retrack=retrack, explain=explain, explain_rule=explain_rule)


@app.command()
def bench(
    model: Model,
    source: Source,
    labels: Labels = None,
    device: Device = "cpu",
    threads: Threads = 2,
    runtime: Runtime = "auto",
    frames: Annotated[int, typer.Option(min=20, help="How many frames at most.")] = 600,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    soak_s: Annotated[
        float | None,
        typer.Option("--soak", min=1, metavar="SECONDS", help="Run for so long and watch the footprint."),
    ] = None,
    cameras: Annotated[
        int, typer.Option(min=1, max=64, help="With --soak: cameras that share the model.")
    ] = 1,
    paced: Annotated[
        bool, typer.Option("--paced", help="With --soak: a file at its own rate, not at full speed.")
    ] = False,
) -> None:
    """Time every stage, and the pipeline against a bare invoke() loop of the same model."""
    from agent.bench import bench_pipeline, soak
    from agent.soak import SoakOptions

    if soak_s is not None:
        options = SoakOptions(soak_s, cameras, paced)
        soak(
            model,
            labels,
            source,
            options,
            device=device,
            threads=threads,
            runtime=runtime,
            as_json=as_json,
        )
        return
    bench_pipeline(
        model,
        labels,
        source,
        device=device,
        threads=threads,
        runtime=runtime,
        max_frames=frames,
        as_json=as_json,
    )


def _print_error(text: str) -> None:
    from agent.service import in_journal, journal_lines

    print(journal_lines(text, logging.ERROR) if in_journal(sys.stderr) else text, file=sys.stderr)


def main() -> NoReturn:
    """The entry point: every error that a user can mend is one line and an exit code."""
    try:
        app()
    except ConfigError as error:
        _print_error("\n".join(error.faults))
        sys.exit(error.exit_code)
    except EdgetrackError as error:
        _print_error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output went away (`… | head`); what is left in the buffer has nowhere to go.
        sys.stderr.close()
        sys.exit(141)
    sys.exit(0)


if __name__ == "__main__":
    main()
