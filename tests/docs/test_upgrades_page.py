"""docs/guide/upgrades.md names what replaces a resource, as CloudFormation's schemas have it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from tests import test_logical_ids

_ROOT = Path(__file__).resolve().parents[2]
_PAGE = (_ROOT / "docs" / "guide" / "upgrades.md").read_text(encoding="utf-8")
_ROWS = {
    type: set(re.findall(r"\w+", properties))
    for type, properties in re.findall(
        r"^\| `(AWS::[\w:]+)` \| [^|]+ \| ([^|]+) \|$", _PAGE, re.MULTILINE
    )
}
_TEMPLATE: dict[str, Any] = json.loads(
    (_ROOT / "tests" / "snapshots" / "iot_pipeline.template.json").read_text(encoding="utf-8")
)
_TYPES = set(re.findall(r"AWS::\w+::\w+", test_logical_ids._IDS)) | {
    resource["Type"] for resource in _TEMPLATE["Resources"].values()
}


def _replacing(type: str) -> set[str]:
    """The properties whose change replaces the resource, or can."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type).schema
    paths = (
        *schema.get("createOnlyProperties", ()),
        *schema.get("conditionalCreateOnlyProperties", ()),
    )
    return {path.split("/")[2] for path in paths if path.count("/") == 2}


def test_every_resource_that_can_be_replaced_has_a_row() -> None:
    ours = {
        type for type in _TYPES if type.startswith("AWS::") and not type.startswith("AWS::EC2::")
    }
    assert _ROWS.keys() == {type for type in ours if _replacing(type)}


@pytest.mark.parametrize("type", _ROWS)
def test_a_row_has_what_replaces_the_resource(type: str) -> None:
    used = {
        property
        for resource in _TEMPLATE["Resources"].values()
        if resource["Type"] == type
        for property in resource["Properties"]
    }
    assert _ROWS[type] <= _replacing(type)
    assert used & _replacing(type) <= _ROWS[type]
