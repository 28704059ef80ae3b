"""The ``verify`` command: what arrivals mean, the page, options, output and exit codes.

tests/e2e/test_verify.py runs the command on the emulator.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from iot_constructs.cli.dead_letter_messages import parse_dead_letter
from iot_constructs.cli.main import main
from iot_constructs.cli.progress import Progress
from iot_constructs.cli.verification import arrivals, paging
from iot_constructs.cli.verification.findings import Finding, Report, Status
from iot_constructs.cli.verification.messages import Archive, MarkedMessages, Route, Seen
from iot_constructs.cli.verification.permissions import policy
from iot_constructs.cli.verification.run import Verification
from iot_constructs.cli.verification.stacks import StackError

from .aws_fakes import NOW, Clock, OnShard, aws_error, failed_batch, rejected, rule_error
from .verify_world import (
    ALARM,
    ALERTS,
    BAD,
    DEVICE,
    ROUTE,
    Clients,
    Service,
    World,
    alarm,
    cloudformation,
    deployed,
    progress,
)

MARKS = {b"1", b"2", b"3", BAD}


def letter(body: object) -> Any:
    return parse_dead_letter(json.dumps(body))


def bad_letter(data: bytes = BAD + b" is not JSON") -> Any:
    return letter(rejected(OnShard("7", DEVICE, data, NOW)))


def arrived(**changes: Any) -> Seen:
    seen = Seen(set(MARKS), 3, True, [bad_letter()], dict.fromkeys(MARKS, "telemetry/1"))
    return replace(seen, **changes)


def judged(seen: Seen, route: Route = ROUTE, seconds: float = 1000) -> dict[str, Finding]:
    return {each.part: each for each in arrivals.judge(route, seen, BAD, seconds)}


def failing(findings: dict[str, Finding]) -> list[str]:
    return [part for part, each in findings.items() if each.status is Status.FAIL]


def test_when_everything_arrived_every_part_passes() -> None:
    assert {each.status for each in judged(arrived()).values()} == {Status.PASS}


@pytest.mark.parametrize(
    ("seen", "part", "skipped"),
    [
        (
            {"on_stream": set(), "stored": 0, "has_state": False, "letters": [], "archived": {}},
            "rule",
            5,
        ),
        ({"stored": 0, "has_state": False, "letters": []}, "event source mapping", 3),
        ({"stored": 0, "has_state": False, "letters": [bad_letter()]}, "time series table", 1),
        ({"stored": 2}, "time series table", 0),
        ({"has_state": False, "letters": []}, "device state table", 1),
        ({"letters": []}, "queue", 0),
        ({"archived": {}}, "archive", 0),
    ],
)
def test_the_first_part_that_a_message_did_not_pass_fails(
    seen: dict[str, Any], part: str, skipped: int
) -> None:
    findings = judged(arrived(**seen))
    assert failing(findings) == [part]
    assert findings[part].cause
    assert findings[part].page.startswith("https://docs.aws.amazon.com/")
    assert sum(each.status is Status.SKIPPED for each in findings.values()) == skipped


def test_the_archive_reads_the_stream_by_itself() -> None:
    seen = arrived(stored=0, has_state=False, letters=[], archived={})
    assert failing(judged(seen)) == ["event source mapping", "archive"]


def test_an_error_of_the_rule_is_no_sign_of_the_function() -> None:
    error = letter(rule_error(ROUTE.topic, BAD))
    seen = arrived(stored=0, has_state=False, letters=[error])
    assert failing(judged(seen)) == ["event source mapping"]


def test_the_causes_have_what_the_messages_say() -> None:
    error = letter(rule_error(f"device/{DEVICE}/telemetry", BAD))
    seen = arrived(on_stream=set(), stored=0, has_state=False, letters=[error], archived={})
    assert "the rule's error action reports: " in judged(seen)["rule"].cause
    late = arrived(stored=0, has_state=False, letters=[], processing_result="PROBLEM: Throttled")
    assert "PROBLEM: Throttled" in judged(late)["event source mapping"].cause
    reading = bad_letter(b'{"verify": "1"}')
    wrong = arrived(stored=0, has_state=False, letters=[reading, bad_letter()])
    assert "--reading" in judged(wrong)["time series table"].cause
    assert "--reading" not in judged(arrived(stored=0))["time series table"].cause


def test_the_bad_message_of_a_function_that_only_fails_arrives_without_its_payload() -> None:
    batch = letter(failed_batch("7", "7", 1))
    assert "position on the stream" in judged(arrived(letters=[batch]))["queue"].text
    # A dead letter of a reading is not the bad message.
    assert failing(judged(arrived(letters=[bad_letter(b"{}")]))) == ["queue"]


def test_what_the_stacks_do_not_have_is_skipped() -> None:
    route = replace(ROUTE, mapping=None, time_series=None, device_state=None)
    route = replace(route, queue_url=None, archive=None)
    findings = judged(Seen(on_stream=set(MARKS)), route)
    assert findings.pop("rule").status is Status.PASS
    assert {each.status for each in findings.values()} == {Status.SKIPPED}


def test_the_archive_is_not_judged_before_its_buffering_interval() -> None:
    early = judged(arrived(archived={}), seconds=120)["archive"]
    assert early.status is Status.SKIPPED
    assert "the buffering interval is 300 s; run again with --timeout 420" in early.text
    assert judged(arrived(), seconds=120)["archive"].status is Status.PASS
    assert judged(arrived(archived={}), seconds=420)["archive"].status is Status.FAIL
    archive = Archive("delivery", "archive", "", 60, "its objects are in a column format")
    columns = judged(arrived(archived={}), replace(ROUTE, archive=archive))["archive"]
    assert (columns.status, "column format" in columns.text) == (Status.SKIPPED, True)


def test_a_long_queue_is_skipped() -> None:
    found = judged(arrived(letters=[], queue_too_long=True))["queue"]
    assert (found.status, "redrive them first" in found.text) == (Status.SKIPPED, True)


def paged(bodies: list[str], state: str = "OK") -> tuple[list[Finding], Clients]:
    clock = Clock()
    found = {**alarm(StateValue=state)["MetricAlarms"][0]}

    def receive(**request: Any) -> dict[str, Any]:
        clock.now += request["WaitTimeSeconds"]
        return {"Messages": [{"Body": body} for body in bodies]}

    clients = Clients(
        cloudwatch=Service(describe_alarms={"MetricAlarms": [found]}, set_alarm_state={}),
        sns=Service(subscribe={"SubscriptionArn": "s"}, unsubscribe={}),
        sqs=Service(create_queue={"QueueUrl": "q"}, receive_message=receive, delete_queue={}),
    )
    findings = list(paging.page(clients, deployed(ALERTS, ALARM), "temporary", 30, clock=clock))
    return findings, clients


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [(['{"AlarmName": "errors"}'], Status.PASS), ([], Status.FAIL), (["other"], Status.FAIL)],
)
def test_a_page_passes_with_its_message_and_cleans_up(bodies: list[str], expected: Status) -> None:
    (finding,), clients = paged(bodies)
    assert finding.status is expected
    states = [each["StateValue"] for each in clients.services["cloudwatch"].made("set_alarm_state")]
    assert states == ["ALARM", "OK"]
    assert clients.services["sns"].made("unsubscribe") == [{"SubscriptionArn": "s"}]
    assert clients.services["sqs"].made("delete_queue") == [{"QueueUrl": "q"}]


def test_an_alarm_that_is_in_alarm_is_left_alone() -> None:
    (finding,), clients = paged([], state="ALARM")
    assert finding.status is Status.SKIPPED
    assert clients.services["cloudwatch"].made("set_alarm_state") == []


def finding(status: Status, part: str = "stream", text: str = "text") -> Finding:
    return Finding(
        part, "readings", "state", status, text, "because", "https://docs.aws.amazon.com/x"
    )


def test_the_exit_code_is_1_with_a_fail_and_2_after_an_error() -> None:
    report = Report(["S"], DEVICE, [finding(Status.PASS), finding(Status.SKIPPED)])
    assert report.exit_code == 0
    assert replace(report, error="no").exit_code == 2
    assert replace(report, findings=[*report.findings, finding(Status.FAIL)]).exit_code == 1


def test_the_table_groups_equal_rows_and_explains_each_fail() -> None:
    passed = finding(Status.PASS, "alarm")
    findings = [passed, replace(passed, resource="b"), replace(passed, resource="c")]
    findings.append(finding(Status.FAIL, text="bad\x1b[31m"))
    lines = list(Report(["S"], DEVICE, findings, ["a note."]).as_table())
    assert lines[0].split() == ["PASS", "alarm", "readings", "and", "2", "more", "state", "text"]
    assert "FAIL stream readings: bad?[31m" in lines
    assert "  cause: because" in lines
    assert "  page:  https://docs.aws.amazon.com/x" in lines
    assert lines[-2:] == ["3 PASS, 1 FAIL, 0 SKIPPED", "a note."]


def test_the_json_document_has_every_finding() -> None:
    document = json.loads(Report(["S"], DEVICE, [finding(Status.FAIL)]).as_json())
    assert (document["passed"], document["failed"], document["skipped"]) == (0, 1, 0)
    assert document["findings"][0]["status"] == "FAIL"


def command(monkeypatch: pytest.MonkeyPatch, work: Callable[[Verification], None]) -> None:
    monkeypatch.setattr(boto3, "Session", lambda **settings: None)
    monkeypatch.setattr(Verification, "run", work)


def test_an_error_of_aws_or_of_a_stack_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (aws_error("ValidationError", "Stack S does not exist"), StackError("not JSON")):

        def fail(self: Verification, error: Exception = error) -> None:
            raise error

        command(monkeypatch, fail)
        assert main(["verify", "S"]) == 2
        assert "error: " in capsys.readouterr().err


def test_an_interrupted_run_reports_what_it_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(self: Verification) -> None:
        self._report.findings.append(finding(Status.PASS))
        raise KeyboardInterrupt

    command(monkeypatch, stop)
    assert main(["verify", "S", "--json"]) == 130
    document = json.loads(capsys.readouterr().out)
    assert (document["interrupted"], document["passed"]) == (True, 1)


def verification(report: Report, services: Clients) -> Verification:
    return Verification(
        services, report, progress(), rule=None, reading={}, seconds=5, with_page=False
    )


def test_an_interrupt_while_waiting_removes_what_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()

    def interrupted(self: MarkedMessages, seconds: float, progress: Progress) -> None:
        world.process()
        raise KeyboardInterrupt

    monkeypatch.setattr(MarkedMessages, "wait", interrupted)
    monkeypatch.setattr(
        "iot_constructs.cli.verification.run.find_route", lambda *_: replace(ROUTE, archive=None)
    )
    services = world.run()._clients
    assert isinstance(services, Clients)
    report = Report([], DEVICE)
    services.services["cloudformation"] = cloudformation({})
    with pytest.raises(KeyboardInterrupt):
        verification(report, services).run()
    assert [each.items for each in world.tables.values()] == [[], []]
    assert world.sqs.messages == {}


def test_without_the_rights_for_messages_they_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any) -> Route:
        raise aws_error("AccessDeniedException", "not authorized to perform: iot:GetTopicRule")

    monkeypatch.setattr("iot_constructs.cli.verification.run.find_route", denied)
    report = Report([], DEVICE)
    verification(report, Clients(cloudformation=cloudformation({}))).run()
    skipped = [each for each in report.findings if each.check == "messages"]
    assert {each.status for each in skipped} == {Status.SKIPPED}
    assert all("iot:GetTopicRule" in each.text for each in skipped)
    assert report.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name at least one STACK"),
        (["S", "--timeout", "0"], "not a positive integer"),
        (["S", "--reading", "[]"], "not a JSON object"),
        (["S", "--reading", "{"], "is not JSON"),
    ],
)
def test_usage_errors(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["verify", *arguments])
    assert exit.value.code == 2
    assert expected in capsys.readouterr().err


def test_permissions_are_limited_to_the_devices_of_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--permissions"]) == 0
    statements = {each["Sid"]: each for each in json.loads(capsys.readouterr().out)["Statement"]}
    assert "PageAlarm" not in statements
    assert statements["Publish"]["Resource"].endswith("topic/*iot-constructs-verify-*")
    assert statements["OwnItems"]["Condition"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["iot-constructs-verify-*"]}
    }
    writes = ("Delete", "Put", "Update", "Create", "Publish", "Set")
    assert not [
        each for each in statements["Look"]["Action"] if each.split(":")[1].startswith(writes)
    ]
    assert "PageAlarm" in policy(page=True)


def test_the_help_needs_no_boto3() -> None:
    program = (
        "import sys; sys.modules.update(boto3=None, botocore=None)\n"
        "from iot_constructs.cli.main import main\n"
        "main(sys.argv[1:])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program, "verify", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for option in ("--timeout", "--page", "--permissions", "--json"):
        assert option in shown
