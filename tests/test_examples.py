"""The example as a user runs it: the app as a process, its template held by a snapshot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from examples.iot_pipeline.stack import IotPipelineStack

_ROOT = Path(__file__).resolve().parent.parent
_EXAMPLE = _ROOT / "examples" / "iot_pipeline"
_SNAPSHOT = Path(__file__).parent / "snapshots" / "iot_pipeline.template.json"
_FLAGS = json.loads((_EXAMPLE / "cdk.json").read_text(encoding="utf-8"))["context"]
_STATEFUL = {
    "AWS::DynamoDB::GlobalTable",
    "AWS::KMS::Key",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
}


@pytest.fixture(scope="module")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The example synthesized twice by a process of its own, and here for the other environments."""
    made = {name: _run_app(tmp_path_factory.mktemp(name), "dev") for name in ("dev", "dev-again")}
    for suffix in ("prod", "live", "qa7"):
        made[suffix] = tmp_path_factory.mktemp(suffix)
        app = cdk.App(context=_FLAGS, outdir=str(made[suffix]))
        IotPipelineStack(app, "IotPipeline", environment_suffix=suffix)
        app.synth()
    return made


def test_two_synths_are_identical_to_the_byte(assemblies: dict[str, Path]) -> None:
    first, second = _files(assemblies["dev"]), _files(assemblies["dev-again"])
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert any(name.startswith("asset.") and "handler.py" in name for name in first)


def test_the_template_is_the_one_of_the_snapshot(assemblies: dict[str, Path]) -> None:
    """What changed, reviewed: UPDATE_SNAPSHOT=1 pytest tests/test_examples.py rewrites it."""
    template = (assemblies["dev"] / "IotPipeline.template.json").read_text(encoding="utf-8")
    # Code and template files are named after their content, which changes with every Powertools release.
    stable = re.sub(r"\b[0-9a-f]{64}\b", "HASH", template)
    if os.environ.get("UPDATE_SNAPSHOT"):
        _SNAPSHOT.write_text(stable + "\n", encoding="utf-8")
    assert stable + "\n" == _SNAPSHOT.read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", ["prod", "live"])
def test_a_lasting_environment_is_protected_and_keeps_its_data(
    assemblies: dict[str, Path], suffix: str
) -> None:
    assert _stack_properties(assemblies[suffix])["terminationProtection"] is True
    policies = _policies(assemblies[suffix])
    assert policies.keys() == _STATEFUL
    assert all(found == {("Retain", "Retain")} for found in policies.values()), policies


def test_a_short_lived_environment_says_that_it_is_not_protected_and_leaves_nothing(
    assemblies: dict[str, Path],
) -> None:
    assert _stack_properties(assemblies["qa7"])["terminationProtection"] is False
    policies = _policies(assemblies["qa7"])
    assert policies.keys() == _STATEFUL
    assert all(found == {("Delete", "Delete")} for found in policies.values()), policies
    template = (assemblies["qa7"] / "IotPipeline.template.json").read_text(encoding="utf-8")
    assert '"Retain"' not in template


def test_the_code_of_the_function_is_complete(assemblies: dict[str, Path]) -> None:
    """It imports alone, with nothing of this machine but boto3, which the runtime has."""
    template = json.loads((assemblies["dev"] / "IotPipeline.template.json").read_text("utf-8"))
    (function,) = (
        r["Properties"]
        for r in template["Resources"].values()
        if r["Properties"].get("FunctionName") == "iot-stream-processor-dev"
    )
    folder = assemblies["dev"] / f"asset.{function['Code']['S3Key'].removesuffix('.zip')}"
    module, name = function["Handler"].split(".")
    environment = {
        **{k: str(v) for k, v in function["Environment"]["Variables"].items()},
        "AWS_DEFAULT_REGION": "eu-central-1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    code = (
        f"import sys; sys.path.insert(0, '.'); import aws_lambda_powertools as p, {module} as m; "
        f"print(callable(m.{name}), p.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("True ")
    assert str(folder) in done.stdout or "./aws_lambda_powertools" in done.stdout


def _run_app(out: Path, suffix: str) -> Path:
    """Run app.py as the CLI would: the context of cdk.json, the suffix on top, the output folder by CDK_OUTDIR."""
    context = json.dumps({**_FLAGS, "environmentSuffix": suffix})
    subprocess.run(
        [sys.executable, "app.py"],
        cwd=_EXAMPLE,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("CDK_")},
            "CDK_OUTDIR": str(out),
            "CDK_CONTEXT_JSON": context,
        },
        check=True,
        capture_output=True,
    )
    return out


def _files(folder: Path) -> dict[str, bytes]:
    """Every file of an assembly; the report of CDK's validation holds the time it took."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "validation-report.json"
    }


def _stack_properties(assembly: Path) -> dict[str, Any]:
    manifest = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))
    properties: dict[str, Any] = manifest["artifacts"]["IotPipeline"]["properties"]
    return properties


def _policies(assembly: Path) -> dict[str, set[tuple[str, str]]]:
    """Deletion and replacement policies of everything that holds data or a key, by type."""
    template = json.loads((assembly / "IotPipeline.template.json").read_text(encoding="utf-8"))
    found: dict[str, set[tuple[str, str]]] = {}
    for resource in template["Resources"].values():
        if resource["Type"] in _STATEFUL:
            policies = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
            found.setdefault(resource["Type"], set()).add(policies)
    return found
