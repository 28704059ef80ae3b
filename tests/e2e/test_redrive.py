"""After the cause is fixed, one redrive restores all failed records from a topic or a bucket."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from iot_constructs._defaults import BATCH_SIZE, RETRY_ATTEMPTS
from iot_constructs.local.deployment import Deployer, Deployment
from iot_constructs.local.emulator import Emulator
from iot_constructs.local.event_source_mapping import (
    Backoff,
    Intervals,
    LocalEventSourceMapping,
)

_APP = Path(__file__).parent / "failing_app"
_RECORDS = 60
_PATIENCE = 120.0
_BACKOFF = Backoff(first=0.01, longest=0.05)


@pytest.fixture(scope="module")
def deployment(emulator: Emulator) -> Deployment:
    deployer = Deployer(emulator, app_directory=_APP)
    return deployer.deploy(deployer.prepare("qa7"))


@pytest.mark.parametrize(("route", "kind"), [("Sns", "failed-batch"), ("S3", "stored-batch")])
def test_one_redrive_restores_all_records(
    emulator: Emulator, deployment: Deployment, route: str, kind: str
) -> None:
    identities = {f"{route.lower()}-{n % 6}/{n}" for n in range(_RECORDS)}
    mapping = LocalEventSourceMapping(
        emulator,
        function_name=deployment.output(f"{route}Function"),
        backoff=_BACKOFF,
        intervals=Intervals(0.1, 0.5, 0.5),
    )
    with mapping:
        _put(emulator, deployment.output(f"{route}Stream"), identities)
        assert mapping.wait_until_idle(_PATIENCE)
        assert mapping.undelivered == []
        assert _stored(emulator, deployment, route) == set()

        shown = _redrive(emulator, deployment, route)
        assert shown["records_found"] == _RECORDS
        assert _stored(emulator, deployment, route) == set()

        _fix_the_cause(emulator, deployment.output(f"{route}Function"))
        done = _redrive(emulator, deployment, route, "--execute")
        assert done["records_put"] == _RECORDS
        assert done["kept"] == []
        assert {group["kind"] for group in done["groups"]} <= {kind, "test-event"}
        assert mapping.wait_until_idle(_PATIENCE)

    assert _stored(emulator, deployment, route) == identities
    again = _redrive(emulator, deployment, route, "--execute")
    assert (again["records_found"], again["messages"]) == (0, 0)


def test_a_poison_record_blocks_its_neighbors_only_during_its_retries(
    emulator: Emulator, deployment: Deployment
) -> None:
    """With the library's defaults, it does not block the shard until it expires."""
    neighbors = {f"poison-neighbor-{n % 3}/{n}" for n in range(_RECORDS)}
    # The poison record comes first and has the partition key of a neighbor.
    poison = "poison-neighbor-0/poison"
    mapping = LocalEventSourceMapping(
        emulator, function_name=deployment.output("PoisonFunction"), backoff=_BACKOFF
    )
    with mapping:
        _put(emulator, deployment.output("PoisonStream"), {poison})
        _put(emulator, deployment.output("PoisonStream"), neighbors)
        assert mapping.wait_until_idle(_PATIENCE)
    bisections = math.ceil(math.log2(BATCH_SIZE)) + 1
    assert RETRY_ATTEMPTS < mapping.totals["Errors"] <= RETRY_ATTEMPTS + 1 + bisections
    assert _stored(emulator, deployment, "poison-neighbor") == neighbors
    assert mapping.undelivered == []
    shown = _redrive(emulator, deployment, "Poison")
    assert (shown["messages"], shown["records_found"]) == (1, 1)


def _put(emulator: Emulator, stream: str, identities: set[str]) -> None:
    emulator.client("kinesis").put_records(
        StreamName=stream,
        Records=[
            {"Data": identity.encode(), "PartitionKey": identity.split("/", maxsplit=1)[0]}
            for identity in sorted(identities)
        ],
    )


def _stored(emulator: Emulator, deployment: Deployment, prefix: str) -> set[str]:
    pages = (
        emulator.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=deployment.output("TableName"))
    )
    found = {f"{i['deviceId']['S']}/{i['timestamp']['N']}" for page in pages for i in page["Items"]}
    return {identity for identity in found if identity.startswith(prefix.lower())}


def _fix_the_cause(emulator: Emulator, function: str) -> None:
    client = emulator.client("lambda")
    variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    client.update_function_configuration(
        FunctionName=function, Environment={"Variables": {**variables, "BROKEN": "no"}}
    )


def _redrive(
    emulator: Emulator, deployment: Deployment, route: str, *options: str
) -> dict[str, Any]:
    """Run ``iot-constructs redrive`` and return its JSON output."""
    done = subprocess.run(
        [
            *[sys.executable, "-m", "iot_constructs.cli", "redrive", "--json"],
            *["--queue-url", deployment.output(f"{route}Queue"), *options],
        ],
        env={**os.environ, **emulator.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document
