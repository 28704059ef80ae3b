"""`examples/own_processor` as it is deployed: the asset and the template of its function, with the user's step."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from examples.own_processor.app import OverheatingStack
from iot_constructs.testing import Report, simulate
from iot_constructs.testing.scheduler import START
from tests.synth_support import one, unvalidated_app

_SERIES = "iot-sensor-metrics-dev"
_HANDLER = "processor.handler.handler"


@pytest.fixture(scope="module")
def assembly() -> Path:
    app = unvalidated_app()
    OverheatingStack(app, "Overheating")
    return Path(app.synth().directory)


def machines(rng: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    for number in range(60):
        hot = number % 10 == 0
        yield (
            f"{rng.choice(('press', 'lathe', 'drill'))}-{rng.randrange(3)}",
            {
                "id": f"measurement-{number:04d}",
                "timestamp": int(START * 1000) + number,
                "temperature": "hot" if hot else 100 + number,
            },
        )


def run(assembly: Path, code: Path) -> Report:
    return simulate(
        _HANDLER,
        code=code,
        template=assembly / "Overheating.template.json",
        # moto has no PartiQL with parameters, with which the processor writes the state of the devices.
        environment={"DEVICE_STATE_TABLE_NAME": ""},
        records=machines,
        seeds=range(6),
    )


def asset(assembly: Path) -> Path:
    template = json.loads((assembly / "Overheating.template.json").read_text(encoding="utf-8"))
    function = one(template, "AWS::Lambda::Function", Handler=_HANDLER)
    return assembly / f"asset.{function['Code']['S3Key'].removesuffix('.zip')}"


def test_each_measurement_is_converted_and_stored_once(assembly: Path) -> None:
    report = run(assembly, asset(assembly))
    report.assert_all_stored()
    report.assert_nothing_doubled()
    for each in report.runs:
        stored = {item["reading"]["id"]: item["reading"] for item in each.items[_SERIES]}
        assert len(each.items[_SERIES]) == len(stored) == 54
        assert stored["measurement-0001"]["temperature"] == Decimal("38.33")
    assert max(each.invocations for each in report.runs) > 6


def test_a_step_with_a_clock_stores_a_measurement_again(assembly: Path, tmp_path: Path) -> None:
    code = shutil.copytree(asset(assembly), tmp_path / "code")
    step = (code / "step.py").read_text(encoding="utf-8")
    step = step.replace("        **reading,", "        **reading, 'at': str(time.time()),")
    (code / "step.py").write_text(step.replace("import os", "import os, time"))
    report = run(assembly, code)
    report.assert_nothing_lost()
    with pytest.raises(AssertionError, match=f"times in {_SERIES}"):
        report.assert_nothing_doubled()
