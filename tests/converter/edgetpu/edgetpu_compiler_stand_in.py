"""A program with edgetpu_compiler's command line that replays a real log, for machines without the real one.

Takes from the environment: STAND_IN_LOG, the log to print; STAND_IN_COMPILED, the file to write as the result
(empty: none); STAND_IN_MODE: "ok", "half" (writes half of the result, then dies), "hang" (writes half, never
ends, with a child that does not end either, whose process id goes to the file STAND_IN_CHILD),
"silent-failure" (exit code 0, no result).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import threading
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="edgetpu_compiler", allow_abbrev=False)
    parser.add_argument("-s", "--show_operations", action="store_true")
    parser.add_argument("-o", "--out_dir", type=Path, default=Path())
    parser.add_argument("-m", "--min_runtime_version", type=int, choices=range(10, 15), default=14)
    parser.add_argument("-n", "--num_segments", type=int, default=1)
    parser.add_argument("-t", "--timeout_sec", type=int, default=180)
    parser.add_argument("models", nargs="+", type=Path)
    options = parser.parse_args()
    model = options.models[0]
    if model.read_bytes()[4:8] != b"TFL3":
        print(f"Invalid model: {model}\nModel could not be parsed")
        return 1

    mode = os.environ["STAND_IN_MODE"]
    parts = [""] if options.num_segments == 1 else [
        f"_segment_{i}_of_{options.num_segments}" for i in range(options.num_segments)
    ]  # fmt: skip
    log = Path(os.environ["STAND_IN_LOG"]).read_text(encoding="utf-8")
    compiled = os.environ["STAND_IN_COMPILED"]
    for part in parts:
        target = options.out_dir / f"{model.stem}{part}_edgetpu.tflite"
        named = re.sub(r"(?m)^(Output model: ).*$", rf"\g<1>{target}", log)
        print(re.sub(r"(?m)^(Input model: ).*$", rf"\g<1>{model}", named), flush=True)
        if compiled and mode != "silent-failure":
            content = Path(compiled).read_bytes()
            target.write_bytes(content if mode == "ok" else content[: len(content) // 2])
            target.with_suffix(".log").write_text(log, encoding="utf-8")
    if mode == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
        Path(os.environ["STAND_IN_CHILD"]).write_text(str(child.pid), encoding="ascii")
        threading.Event().wait()
    return {"ok": 0 if compiled else 1, "half": -11, "silent-failure": 0}[mode]


if __name__ == "__main__":
    sys.exit(main())
