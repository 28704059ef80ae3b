"""The template, synthesized once for all tests."""

from __future__ import annotations

import json
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from stack import IotPipelineStack


@pytest.fixture(scope="session")
def template() -> Template:
    cdk_json = Path(__file__).parent.parent / "cdk.json"
    app = cdk.App(context=json.loads(cdk_json.read_text(encoding="utf-8"))["context"])
    return Template.from_stack(IotPipelineStack(app, "IotPipeline", environment_suffix="test"))
