"""What `iot_constructs` costs to import, beyond the modules of aws_cdk that it uses."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys

_IMPORT_ALL = (
    "import iot_constructs\nfor name in iot_constructs.__all__: getattr(iot_constructs, name)\n"
)
_USED = (
    "import json, sys\n" + _IMPORT_ALL + "print(json.dumps([name for name in sys.modules"
    " if name.partition('.')[0] in ('aws_cdk', 'constructs', 'jsii')]))"
)
_TIMED = (
    "import importlib, sys, time\n"
    "for name in {used!r}: importlib.import_module(name)\n"
    "began = time.perf_counter()\n" + _IMPORT_ALL + "print(time.perf_counter() - began)"
)


def import_milliseconds(rounds: int) -> float:
    """The median over processes of their own, all public names imported."""
    used = json.loads(_output(_USED))
    timed = [float(_output(_TIMED.format(used=used))) for _ in range(rounds + 1)]
    return statistics.median(timed[1:]) * 1000  # the first one writes byte code


def _output(code: str) -> str:
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    completed = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return completed.stdout.splitlines()[-1]
