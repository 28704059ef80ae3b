"""Selection and format of injected faults, and signals to the caller."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import botocore.parsers
import botocore.session
import pytest

from tests.chaos.fault_proxy import (
    error_response,
    find_inode,
    operation_name,
    sign,
    signal_caller,
    split_items,
    split_statements,
)
from tests.chaos.faults import (
    BATCH_WRITE,
    PUBLISH,
    RULES,
    STATE_WRITE,
    Fault,
    Faults,
    Rule,
)

CALLS = 3000


def drawn(faults: Faults, operation: str, calls: int = CALLS) -> list[Fault | None]:
    return [faults.next(operation) for _ in range(calls)]


def put(name: str) -> dict[str, Any]:
    return {"PutRequest": {"Item": {"deviceId": {"S": name}}}}


def batch(*names: str, table: str = "table") -> dict[str, Any]:
    return {"RequestItems": {table: [put(name) for name in names]}, "Other": "kept"}


@pytest.mark.parametrize("operation", [BATCH_WRITE, STATE_WRITE, PUBLISH])
def test_faults_of_a_seed_do_not_depend_on_other_operations(operation: str) -> None:
    alone, among_others = Faults(7), Faults(7)
    expected = drawn(alone, operation)
    found = []
    for _ in range(CALLS):
        found.append(among_others.next(operation))
        among_others.next(STATE_WRITE if operation != STATE_WRITE else BATCH_WRITE)
    assert found == expected
    assert any(expected)


def test_different_seeds_select_different_faults() -> None:
    assert drawn(Faults(1), BATCH_WRITE) != drawn(Faults(2), BATCH_WRITE)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(5))
def test_each_rule_applies_once_per_block_of_calls(rule: Rule, seed: int) -> None:
    found = drawn(Faults(seed, [rule]), rule.operation, calls=3 * rule.every + rule.consecutive)
    times = Counter(found)[rule.fault]
    assert 3 * rule.consecutive <= times <= 4 * rule.consecutive


def test_consecutive_faults() -> None:
    rule = Rule(Fault.SERVER_ERROR, STATE_WRITE, every=50, consecutive=3)
    found = drawn(Faults(3, [rule]), STATE_WRITE, calls=50 + 3)
    first = found.index(Fault.SERVER_ERROR)
    assert found[first : first + 3] == [Fault.SERVER_ERROR] * 3


def test_faults_selected_for_the_same_call_occur_in_sequence() -> None:
    rules = [Rule(Fault.SLOW, STATE_WRITE, every=1), Rule(Fault.CRASH, STATE_WRITE, every=1)]
    assert drawn(Faults(1, rules), STATE_WRITE, calls=4) == [Fault.SLOW, Fault.CRASH] * 2


def test_a_fault_stays_pending_until_a_call_accepts_it() -> None:
    faults = Faults(1, [Rule(Fault.PARTIAL_BATCH, BATCH_WRITE, every=1000)])
    refused = [faults.next(BATCH_WRITE, lambda _: False) for _ in range(1000)]
    assert refused == [None] * 1000
    assert faults.injected == {}
    assert faults.next(BATCH_WRITE) is Fault.PARTIAL_BATCH


def test_an_unknown_operation_has_no_faults() -> None:
    assert set(drawn(Faults(1), "Publish")) == {None}


def test_an_outage_affects_every_call_until_it_ends() -> None:
    faults, undisturbed = Faults(1), Faults(1)
    before = drawn(faults, STATE_WRITE, calls=500)
    faults.start_outage()
    assert drawn(faults, STATE_WRITE, calls=10) == [Fault.OUTAGE] * 10
    faults.end_outage()
    assert before + drawn(faults, STATE_WRITE, calls=500) == drawn(
        undisturbed, STATE_WRITE, calls=1000
    )
    assert faults.injected[Fault.OUTAGE, STATE_WRITE] == 10


def test_no_faults_after_stop() -> None:
    faults = Faults(1, [Rule(Fault.SLOW, STATE_WRITE, every=1)])
    faults.start_outage()
    faults.stop()
    assert drawn(faults, STATE_WRITE, calls=10) == [None] * 10


def test_injected_faults_are_counted_by_fault_and_operation() -> None:
    faults = Faults(1)
    expected = Counter(
        (each, name) for name in (BATCH_WRITE, STATE_WRITE) for each in drawn(faults, name) if each
    )
    assert faults.injected == expected


@pytest.mark.parametrize("count", [2, 3, 24, 25])
def test_split_forwards_some_items_and_loses_none(count: int) -> None:
    names = [f"device-{number}" for number in range(count)]
    request = batch(*names)
    split = split_items(request)
    assert split is not None
    forwarded, unprocessed = split.forwarded["RequestItems"]["table"], split.unprocessed["table"]
    assert forwarded
    assert unprocessed
    assert sorted(map(json.dumps, forwarded + unprocessed)) == sorted(
        json.dumps(put(name)) for name in names
    )
    assert split.forwarded["Other"] == "kept"
    assert request == batch(*names)


def test_split_of_two_tables() -> None:
    request = batch("a", table="one")
    request["RequestItems"].update(batch("b", table="two")["RequestItems"])
    split = split_items(request)
    assert split is not None
    assert split.forwarded["RequestItems"] == {"one": [put("a")]}
    assert split.unprocessed == {"two": [put("b")]}


def test_one_item_cannot_be_split() -> None:
    assert split_items(batch("a")) is None


def test_response_of_a_split_combines_the_unprocessed_items() -> None:
    split = split_items(batch("a", "b", "c"))
    assert split is not None
    body = json.dumps({"UnprocessedItems": {"table": [put("c")]}, "ConsumedCapacity": []})
    assert json.loads(split.response(body.encode())) == {
        "UnprocessedItems": {"table": [put("c"), put("b")]},
        "ConsumedCapacity": [],
    }
    assert json.loads(split.response(b"{}")) == {"UnprocessedItems": {"table": [put("b")]}}


@pytest.mark.parametrize("count", [2, 3, 24, 25])
def test_responses_of_split_statements_are_in_order(count: int) -> None:
    request = {"Statements": [{"Statement": f"s{n}"} for n in range(count)], "Other": "kept"}
    split = split_statements(request)
    assert split is not None
    forwarded = [f"s{n}" for n in range(0, count, 2)]
    assert split.forwarded == {
        "Statements": [{"Statement": s} for s in forwarded],
        "Other": "kept",
    }
    body = json.dumps({"Responses": [{"TableName": s} for s in forwarded]}).encode()
    responses = json.loads(split.response(body))["Responses"]
    assert len(responses) == count
    assert [each["TableName"] for each in responses[::2]] == forwarded
    assert {each["Error"]["Code"] for each in responses[1::2]} == {"ThrottlingError"}


def test_one_statement_cannot_be_split() -> None:
    assert split_statements({"Statements": [{}]}) is None


@pytest.mark.parametrize(
    ("fault", "service", "code"),
    [
        (Fault.TABLE_THROTTLED, "dynamodb", "ProvisionedThroughputExceededException"),
        (Fault.REQUEST_THROTTLED, "dynamodb", "ThrottlingException"),
        (Fault.SERVER_ERROR, "dynamodb", "InternalServerError"),
        (Fault.OUTAGE, "dynamodb", "AccessDeniedException"),
        (Fault.TOPIC_THROTTLED, "sns", "Throttling"),
        (Fault.OUTAGE, "sns", "AuthorizationError"),
    ],
)
def test_the_sdk_parses_an_error_response(fault: Fault, service: str, code: str) -> None:
    operation = BATCH_WRITE if service == "dynamodb" else PUBLISH
    response = error_response(fault, dynamodb=service == "dynamodb")
    assert response is not None
    model = botocore.session.Session().get_service_model(service)
    parser = botocore.parsers.create_parser(model.resolved_protocol)
    parsed = parser.parse(
        {"status_code": response.status, "headers": dict(response.headers), "body": response.body},
        model.operation_model(operation).output_shape,
    )
    assert parsed["Error"]["Code"] == code
    assert parsed["Error"]["Message"] == f"injected: {fault.value}"


@pytest.mark.parametrize(
    "fault", [Fault.SLOW, Fault.LOST_RESPONSE, Fault.CRASH, Fault.PARTIAL_BATCH]
)
def test_other_faults_are_not_error_responses(fault: Fault) -> None:
    assert error_response(fault, dynamodb=True) is None


def test_operation_is_in_the_header_or_in_the_body() -> None:
    assert operation_name({"X-Amz-Target": "DynamoDB_20120810.PutItem"}, b"{}") == "PutItem"
    assert operation_name({}, b"Action=PublishBatch&Version=2010-03-31") == PUBLISH
    assert operation_name({}, b"\xff") == ""


def test_a_modified_request_is_signed_by_the_root_user() -> None:
    headers = {
        "Host": "127.0.0.1:1",
        "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
        "Content-Type": "application/x-amz-json-1.0",
        "Content-Length": "999",
        "Authorization": "of the role",
        "X-Amz-Security-Token": "of the role",
    }
    signed = sign("http://127.0.0.1:1/", headers, b"{}", "dynamodb")
    assert signed["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=test/")
    assert signed["X-Amz-Target"] == headers["X-Amz-Target"]
    assert "Content-Length" not in signed
    assert "X-Amz-Security-Token" not in signed


TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  0  0 111 1
   1: 0100007F:C350 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  0  0 222 1
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the table is from a little-endian machine")
def test_inode_is_that_of_the_client_and_not_of_the_server() -> None:
    assert find_inode(TABLE, 50000, 8080) == "222"
    assert find_inode(TABLE, 50001, 8080) is None


CLIENT = (
    "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.recv(1)"
)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the caller is found through /proc")
def test_only_a_process_of_the_group_is_killed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        # In the process group of the test, not as its leader.
        with subprocess.Popen([sys.executable, "-c", CLIENT, str(port)]) as client:
            connection, (_, client_port) = server.accept()
            with connection:
                assert not signal_caller(client_port, port, os.getpgrp() + 1, signal.SIGKILL)
                assert client.poll() is None
                assert not signal_caller(client_port + 1, port, os.getpgrp(), signal.SIGKILL)
                assert client.poll() is None
                assert signal_caller(client_port, port, os.getpgrp(), signal.SIGKILL)
                assert client.wait(10) == -9


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the caller is found through /proc")
def test_a_caller_is_stopped_not_killed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with subprocess.Popen([sys.executable, "-c", CLIENT, str(port)]) as client:
            connection, (_, client_port) = server.accept()
            with connection:
                assert signal_caller(client_port, port, os.getpgrp(), signal.SIGSTOP)
                _, status = os.waitpid(client.pid, os.WUNTRACED)
                assert os.WIFSTOPPED(status)
            client.kill()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the caller is found through /proc")
def test_the_leader_of_the_group_is_not_killed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        arguments = [sys.executable, "-c", CLIENT, str(port)]
        with subprocess.Popen(arguments, start_new_session=True) as client:
            connection, (_, client_port) = server.accept()
            with connection:
                assert not signal_caller(client_port, port, client.pid, signal.SIGKILL)
                assert client.poll() is None
