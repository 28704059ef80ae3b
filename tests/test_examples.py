"""The example as its users run it: the app as a process, its template held by a snapshot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.iot_pipeline.stack import IotPipelineStack
from tests.synth_support import Json, unvalidated_app

_ROOT = Path(__file__).resolve().parent.parent
_EXAMPLE = _ROOT / "examples" / "iot_pipeline"
_SNAPSHOT = Path(__file__).parent / "snapshots" / "iot_pipeline.template.json"
_FLAGS = json.loads((_EXAMPLE / "cdk.json").read_text(encoding="utf-8"))["context"]


@pytest.fixture(scope="module")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The example synthesized by a process of its own, and here for the same and for two other environments."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("process", "dev", "prod", "qa7")}
    # As the CLI runs it: the context of cdk.json, the suffix on top, the output folder by CDK_OUTDIR.
    context = json.dumps({**_FLAGS, "environmentSuffix": "dev"})
    subprocess.run(
        [sys.executable, "app.py"],
        cwd=_EXAMPLE,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("CDK_")},
            "CDK_OUTDIR": str(folders["process"]),
            "CDK_VALIDATION": "false",  # tests/cli/test_init.py runs it with
            "CDK_CONTEXT_JSON": context,
        },
        check=True,
        capture_output=True,
    )
    for suffix in ("dev", "prod", "qa7"):
        app = unvalidated_app(context=_FLAGS, outdir=str(folders[suffix]))
        IotPipelineStack(app, "IotPipeline", environment_suffix=suffix)
        app.synth()
    return folders


def _template(assembly: Path) -> str:
    return (assembly / "IotPipeline.template.json").read_text(encoding="utf-8")


def _files(folder: Path) -> dict[str, bytes]:
    """Every file of an assembly, but for the two of CDK that hold durations and the paths of stack traces."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in ("validation-report.json", "IotPipeline.metadata.json")
    }


def test_two_synths_are_identical_to_the_byte(assemblies: dict[str, Path]) -> None:
    first, second = _files(assemblies["process"]), _files(assemblies["dev"])
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert any(name.startswith("asset.") and "handler.py" in name for name in first)


def test_the_template_is_that_of_the_snapshot(assemblies: dict[str, Path]) -> None:
    """UPDATE_SNAPSHOT=1 pytest tests/test_examples.py rewrites it; review what changed."""
    # Code and template files are named after their content.
    stable = re.sub(r"\b[0-9a-f]{64}\b", "HASH", _template(assemblies["process"])) + "\n"
    if os.environ.get("UPDATE_SNAPSHOT"):
        _SNAPSHOT.write_text(stable, encoding="utf-8")
    assert stable == _SNAPSHOT.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("suffix", "protected", "policy"),
    [("prod", True, "RetainExceptOnCreate"), ("qa7", False, "Delete")],
)
def test_prod_is_protected_and_keeps_its_data_and_qa_leaves_nothing(
    assemblies: dict[str, Path], suffix: str, protected: bool, policy: str
) -> None:
    manifest = json.loads((assemblies[suffix] / "manifest.json").read_text(encoding="utf-8"))
    properties = manifest["artifacts"]["IotPipeline"]["properties"]
    assert properties["terminationProtection"] is protected
    found: dict[str, set[tuple[str | None, str | None]]] = {}
    for resource in json.loads(_template(assemblies[suffix]))["Resources"].values():
        policies = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
        found.setdefault(resource["Type"], set()).add(policies)
    replaced = "Retain" if protected else "Delete"
    for type in ("AWS::DynamoDB::GlobalTable", "AWS::KMS::Key"):  # protected tables, and their key
        assert found.pop(type) == {(replaced, replaced)}, type
    for type in (
        "AWS::Kinesis::Stream",
        "AWS::Logs::LogGroup",
        "AWS::S3::Bucket",
        "AWS::SQS::Queue",
    ):
        assert found.pop(type) == {(policy, replaced)}, type
    assert {pair for policies in found.values() for pair in policies} <= {
        (policy, replaced),
        (None, None),
    }


def test_the_code_of_the_function_is_complete(assemblies: dict[str, Path]) -> None:
    """It is imported with nothing of this machine but boto3, which the runtime has."""
    (function,) = (
        resource["Properties"]
        for resource in json.loads(_template(assemblies["dev"]))["Resources"].values()
        if resource["Properties"].get("FunctionName") == "iot-stream-processor-dev"
    )
    folder = assemblies["dev"] / f"asset.{function['Code']['S3Key'].removesuffix('.zip')}"
    module, name = function["Handler"].rsplit(".", 1)
    variables: Json = function["Environment"]["Variables"]
    code = (
        f"import sys; sys.path.insert(0, '.'); import {module} as m; "
        f"print(callable(m.{name}), m.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={
            **{key: str(value) for key, value in variables.items()},
            "AWS_DEFAULT_REGION": "eu-central-1",
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("True ")
    assert str(folder) in done.stdout or "./processor" in done.stdout
