"""``iot-constructs local`` from the wheel alone, on a machine that has Python and nothing else on its PATH."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from iot_constructs.local.toolchain import CDK_VERSION
from tests.package.test_wheel import ROOT, UV, dist, run, wheel_in

__all__ = ["dist"]  # a fixture

SECONDS = 300
APP = """
import aws_cdk as cdk
from iot_constructs import (
    DeviceStateTable, MonitoredStream, SuffixedStack, TelemetryProcessor, TelemetryRule, TimeSeriesTable
)

app = cdk.App()
stack = SuffixedStack(app, "Telemetry")
stream = MonitoredStream(stack, "Stream")
processor = TelemetryProcessor(
    stack,
    "Processor",
    stream=stream,
    time_series_table=TimeSeriesTable(stack, "Readings"),
    device_state_table=DeviceStateTable(stack, "Devices"),
)
TelemetryRule(stack, "Rule", stream=stream, dlq_topic=processor.dlq_topic)
app.synth()
"""


def test_it_runs_an_app_with_python_only(dist: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    install = [UV, "pip", "install", "--quiet", "--python", str(python)]
    run(*install, "--constraint", str(ROOT / "constraints.txt"), f"{wheel_in(dist)}[local]")
    project = tmp_path / "project"
    project.mkdir()
    (project / "app.py").write_text(APP, encoding="utf-8")
    (project / "cdk.json").write_text('{"app": "python3 app.py"}', encoding="utf-8")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    done = subprocess.run(
        [python.parent / "iot-constructs", "local", "--devices", "5", "--readings", "20"],
        cwd=project,
        env={
            "PATH": str(tmp_path / "bin"),
            "HOME": str(tmp_path),
            # npm has the CLI there since `make setup`, so that this test needs no network either.
            "NPM_CONFIG_CACHE": str(Path.home() / ".npm"),
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    numbers = json.loads(done.stdout.splitlines()[-1])
    assert (numbers["sent"], numbers["lost"]) == (100, 0)
    assert numbers["dead_lettered"] > 0
    cache = tmp_path / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    assert cache.joinpath("iot-constructs", f"aws-cdk-{CDK_VERSION}", "node_modules").is_dir()
