"""docs/guide/troubleshooting.md has messages and alarms that there are."""

from __future__ import annotations

import re
from pathlib import Path

from examples.iot_pipeline.stack import IotPipelineStack
from tests.synth_support import fresh_app, template_of

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = (_ROOT / "docs" / "guide" / "troubleshooting.md").read_text(encoding="utf-8")
_SECTIONS = dict(section.split("\n", maxsplit=1) for section in _PAGE.split("\n## ")[1:])
_SOURCES = "".join(
    path.read_text(encoding="utf-8") for path in (_ROOT / "src/iot_constructs").glob("*.py")
)
_OF_CDK = {"DependencyCycle", "Validation failed"}


def _first_cells(section: str) -> list[str]:
    return re.findall(r"^\| ([^|]+) \|", _SECTIONS[section], re.M)[1:]


def test_the_messages_are_those_of_the_code() -> None:
    cells = "\n".join(_first_cells("Synthesis"))
    messages = [part for text in re.findall(r"`([^`]+)`", cells) for part in text.split(" … ")]
    assert len(messages) >= 10
    assert [each for each in messages if each not in _SOURCES and each not in _OF_CDK] == []


def test_the_alarms_are_those_of_the_example() -> None:
    template = template_of(IotPipelineStack(fresh_app(), "Alarms", environment_suffix="dev"))
    names = {
        each["Properties"].get("AlarmName")
        for each in template["Resources"].values()
        if "Properties" in each
    }
    shown = re.findall(r"`(iot-[\w-]+)`", "\n".join(_first_cells("Alarms")))
    assert len(shown) >= 8
    assert {f"{name}-dev" for name in shown} <= names
