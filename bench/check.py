"""A small template from the shell: ``iot-constructs check`` beside cfn-lint. ``python -m bench.check [TEMPLATE]``.

Prints one line of JSON for each template: the median of the time of `check` divided by that of cfn-lint right after it.
Pairs, because a machine's speed changes from minute to minute.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figure import Figure

_SMALL = """\
Resources:
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: processor
      EventSourceArn: !Sub arn:aws:kinesis:${AWS::Region}:${AWS::AccountId}:stream/readings
      StartingPosition: LATEST
"""
_SERVERLESS = """\
Transform: AWS::Serverless-2016-10-31
Resources:
  Readings:
    Type: AWS::Serverless::SimpleTable
"""
_FOUND = {"iot-constructs": (1,), "cfn-lint": (0, 2, 4, 6)}
_TARGET = 1.0


def measure(template: Path, pairs: int) -> Figure:
    """Time both tools on a template, one after the other."""
    folder = Path(sys.executable).parent
    ours = [str(folder / "iot-constructs"), "check", str(template)]
    theirs = [str(folder / "cfn-lint"), "--template", str(template)]
    _seconds(ours), _seconds(theirs)  # compiles the modules
    taken = [(_seconds(ours), _seconds(theirs)) for _ in range(pairs)]
    return Figure(
        f"check_{template.stem}",
        round(statistics.median(one / other for one, other in taken), 2),
        _TARGET,
        unit="times the seconds of cfn-lint",
        detail={
            "check": round(statistics.median(one for one, _ in taken), 2),
            "cfn_lint": round(statistics.median(other for _, other in taken), 2),
            "pairs": pairs,
        },
    )


def _seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True)
    taken = time.perf_counter() - began
    if done.returncode not in _FOUND.get(Path(command[0]).name, ()):
        raise RuntimeError(f"{command}: exit code {done.returncode}: {done.stderr.decode()}")
    return taken


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 where every target is met."""
    parser = argparse.ArgumentParser(prog="bench.check", description=__doc__)
    parser.add_argument("templates", nargs="*", type=Path, help="with findings; default: two small")
    parser.add_argument("--pairs", type=int, default=15)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        templates = options.templates
        if not templates:
            templates = [Path(folder) / "small.yaml", Path(folder) / "serverless.yaml"]
            templates[0].write_text(_SMALL, encoding="utf-8")
            templates[1].write_text(_SERVERLESS, encoding="utf-8")
        figures = [measure(template, options.pairs) for template in templates]
    for figure in figures:
        print(figure.line())
    return int(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
