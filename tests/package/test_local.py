"""``iot-constructs init`` and ``local`` from the wheel alone, with Python and nothing else on PATH."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from iot_constructs.local.mqtt import OLDEST_PYTHON
from iot_constructs.local.toolchain import CDK_VERSION
from tests.package.test_wheel import ROOT, UV, dist, run, wheel_in

__all__ = ["dist"]  # a fixture

SECONDS = 300


def test_a_new_project_runs_with_python_only(dist: Path, tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    run(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    install = [UV, "pip", "install", "--quiet", "--python", str(python)]
    run(*install, "--constraint", str(ROOT / "constraints.txt"), f"{wheel_in(dist)}[local]")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    command = str(python.parent / "iot-constructs")
    environment = {
        "PATH": str(tmp_path / "bin"),
        "HOME": str(tmp_path),
        # npm has the CLI there since `make setup`, so that this test needs no network either.
        "NPM_CONFIG_CACHE": str(Path.home() / ".npm"),
    }

    def output(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            [command, *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    project = "pipeline" if sys.version_info >= OLDEST_PYTHON else "one"  # which has no IoT rule
    output(tmp_path, "init", "my-pipeline", "--construct", project)
    shown = output(tmp_path / "my-pipeline", "local", "--devices", "5", "--readings", "20")
    numbers = json.loads(shown.splitlines()[-1])
    assert (numbers["sent"], numbers["lost"]) == (100, 0)
    assert numbers["dead_lettered"] > 0
    cache = tmp_path / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    assert cache.joinpath("iot-constructs", f"aws-cdk-{CDK_VERSION}", "node_modules").is_dir()
