"""The Lambda asset contains everything that the function imports, and little else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import distribution

from examples.iot_pipeline.function_asset import function_asset

# The folder comes first on the path, so a file that is missing there is not loaded from elsewhere.
IMPORTS = """
import json, sys
sys.path.insert(0, {folder!r})
import handler
import aws_lambda_powertools.utilities.batch
names = [name for name in sys.modules if name.partition(".")[0] in ("aws_lambda_powertools", "jmespath")]
print(json.dumps([getattr(sys.modules[name], "__file__", None) for name in names]))
"""


def test_the_function_imports_only_from_the_asset() -> None:
    folder = str(function_asset())
    completed = subprocess.run(
        [sys.executable, "-B", "-c", IMPORTS.format(folder=folder)],
        env={**os.environ, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    files = [file for file in json.loads(completed.stdout) if file is not None]
    assert len(files) > 20
    assert [file for file in files if not file.startswith(folder)] == []


def test_unused_powertools_features_are_excluded() -> None:
    folder = function_asset()
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert "aws_lambda_powertools/logging/logger.py" in names
    left_out = ("aws_lambda_powertools/event_handler/", "aws_lambda_powertools/utilities/parser/")
    assert [name for name in names if name.startswith(left_out)] == []
    whole = distribution("aws-lambda-powertools").files or []
    assert len(names) < len([file for file in whole if file.suffix == ".py"]) / 2
