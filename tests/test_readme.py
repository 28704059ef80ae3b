"""The code of the README runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import aws_cdk as cdk
import pytest

from tests.synth_support import fresh_app

_ROOT = Path(__file__).resolve().parent.parent
_README = (_ROOT / "README.md").read_text(encoding="utf-8")
_PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", _README, re.DOTALL)


def test_the_ten_line_start_synthesizes(tmp_path: Path) -> None:
    example = _PYTHON_BLOCKS[0]
    assert len([line for line in example.splitlines() if line.strip()]) <= 10

    script = tmp_path / "app.py"
    script.write_text(example, encoding="utf-8")
    subprocess.run(
        [sys.executable, str(script)], check=True, cwd=tmp_path, env=_environment(tmp_path / "out")
    )

    template = (tmp_path / "out" / "Telemetry.template.json").read_text(encoding="utf-8")
    assert '"iot-stream-processor-dev"' in template


@pytest.mark.parametrize("block", range(1, len(_PYTHON_BLOCKS)))
def test_every_other_block_runs_in_a_stack(block: int) -> None:
    app = fresh_app()
    stack = cdk.Stack(app, "Readme")
    exec(
        compile(_PYTHON_BLOCKS[block], f"README block {block}", "exec"),
        {"app": app, "stack": stack},
    )
    if "IotPipelineChecks" in _PYTHON_BLOCKS[block]:
        with pytest.raises(RuntimeError, match="IOT_05_TERMINATION_PROTECTION"):
            app.synth()
    else:
        app.synth()


def _environment(out: Path) -> dict[str, str]:
    # tests/package runs it with CDK's template validation, which costs each process three seconds.
    return {**os.environ, "CDK_OUTDIR": str(out), "CDK_VALIDATION": "false"}
