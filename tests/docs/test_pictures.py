"""The pictures are what the example's template and the recorded runs say, and fetch nothing."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any
from xml.etree import ElementTree

import pytest

from docs import picture_architecture, picture_dashboard, picture_runs, picture_terminal
from docs.generate_pictures import pictures
from docs.picture_architecture import BOX_HEIGHT, BOX_WIDTH, POSITIONS
from docs.picture_runs import PICTURES, POINTS, TEXT
from docs.picture_template import Example, Parts, example, read_parts, referred

Json = dict[str, Any]

_RUN = json.loads(POINTS.read_text(encoding="utf-8"))
_NAMES = ("architecture.svg", "dashboard.svg", "demo.svg")


@pytest.fixture
def template() -> Json:
    """A copy that a test may change."""
    return copy.deepcopy(dict(example().template))


def _parts(template: Json) -> Parts:
    return read_parts(Example(template, example().constructs))


def _resource(template: Json, name: str) -> Json:
    (found,) = (
        each
        for id_, each in template["Resources"].items()
        if re.fullmatch(name + "[0-9A-F]{8}", id_)
    )
    return found  # type: ignore[no-any-return]


def _properties(template: Json, name: str) -> Json:
    return _resource(template, name)["Properties"]  # type: ignore[no-any-return]


def _remove(template: Json, name: str) -> None:
    resources = template["Resources"]
    (id_,) = (each for each in resources if re.fullmatch(name + "[0-9A-F]{8}", each))
    del resources[id_]


def _remove_alarm(template: Json) -> None:
    _remove(template, "AlarmsRuleThrottles")


def _forbid(template: Json, policy: str, action: str) -> None:
    for statement in _properties(template, policy)["PolicyDocument"]["Statement"]:
        if action in statement["Action"]:
            statement["Action"] = "kinesis:ListShards"


# --- the architecture -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda each: _remove(each, "ProcessorDlqSubscription"), "by='subscription'"),
        (lambda each: _remove(each, "ProcessorFunctionEventInvokeConfig"), "by='on failure'"),
        (lambda each: _properties(each, "ProcessorMapping").pop("DestinationConfig"), "on failure"),
        (
            lambda each: _properties(each, "TelemetryRule")["TopicRulePayload"].pop("ErrorAction"),
            "by='error action'",
        ),
        (lambda each: _properties(each, "Data").pop("LoggingConfiguration"), "access logs"),
        (lambda each: _properties(each, "AlarmsDlqMessages").pop("AlarmActions"), "alarm action"),
        (
            lambda each: each["Resources"].update(New={"Type": "AWS::SQS::Queue"}),
            "neither drawn nor declared a detail: ['New']",
        ),
        (
            lambda each: _properties(each, "ProcessorMapping").update(
                EventSourceArn={"Ref": "ProcessorDlqQueue7E063173"}
            ),
            "an edge of the template that is not drawn",
        ),
    ],
    ids=[
        "subscription",
        "asynchronous failures",
        "failures of the stream",
        "error action",
        "access logs",
        "alarm without an action",
        "new resource",
        "other source",
    ],
)
def test_a_part_that_the_picture_has_otherwise_is_an_error(
    template: Json, change: Callable[[Json], Any], said: str
) -> None:
    change(template)
    with pytest.raises(ValueError, match=re.escape(said)):
        picture_architecture.draw(_parts(template))


@pytest.mark.parametrize("name", ["DeviceState", "AlarmsHealth", "DataAccessLogs"])
def test_a_resource_that_is_gone_is_an_error(template: Json, name: str) -> None:
    parts = _parts(template)
    left = {key: each for key, each in parts.resources.items() if key != name}
    without = Parts(left, parts.edges, parts.alarms_of, parts.constructs)
    with pytest.raises(ValueError, match=f"drawn, but not in the template: .*{name}"):
        picture_architecture.check(without)


@pytest.mark.parametrize(
    ("policy", "action", "said"),
    [
        ("TelemetryRoleDefaultPolicy", "kinesis:PutRecord", "TelemetryRule is connected with Stre"),
        (
            "TelemetryErrorActionRoleDefaultPolicy",
            "sns:Publish",
            "TelemetryRule is connected with Processor",
        ),
        ("ArchiveRoleDefaultPolicy", "s3:PutObject", "is connected with Data"),
        ("ProcessorRoleDefaultPolicy", "sns:Publish", "is connected with ProcessorDlqTopic"),
    ],
)
def test_an_arrow_that_the_role_does_not_allow_is_an_error(
    template: Json, policy: str, action: str, said: str
) -> None:
    _forbid(template, policy, action)
    with pytest.raises(ValueError, match=said):
        _parts(template)


def test_a_table_that_the_function_may_not_write_has_no_arrow(template: Json) -> None:
    _forbid(template, "ProcessorRoleDefaultPolicy", "dynamodb:BatchWriteItem")
    with pytest.raises(ValueError, match="target='TimeSeries', by='grant'"):
        picture_architecture.draw(_parts(template))


@pytest.mark.parametrize(
    "change",
    [
        lambda each: _properties(each, "TimeSeries").update(TableName="iot-other-dev"),
        lambda each: _properties(each, "ProcessorMapping").update(BatchSize=7),
        lambda each: _properties(each, "Stream").update(RetentionPeriodHours=48),
        lambda each: _properties(each, "ProcessorDlqTopic").pop("KmsMasterKeyId"),
        _remove_alarm,
    ],
    ids=["name", "batch", "retention", "encryption", "alarm"],
)
def test_what_the_boxes_say_comes_from_the_template(
    template: Json, change: Callable[[Json], Any]
) -> None:
    change(template)
    assert picture_architecture.draw(_parts(template)) != pictures()["architecture.svg"]


def test_every_alarm_is_counted_at_what_it_watches() -> None:
    alarms = [
        each
        for each in example().template["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    ]
    drawn = re.findall(r">(\d+) alarms?<", pictures()["architecture.svg"])
    assert sum(map(int, drawn)) == len(alarms) == len(_RUN["alarms"])


def test_an_alarm_with_metric_math_is_counted_at_what_it_watches(template: Json) -> None:
    all_alarms = _parts(template).alarms_of
    for alarm, watched in {
        "AlarmsTimeSeriesTableWriteThrottles": "TimeSeries",
        "AlarmsRuleErrorActionFailures": "TelemetryRule",
        "AlarmsUnprocessedRecords": "ProcessorMapping",  # and one metric of the stream
    }.items():
        changed = copy.deepcopy(template)
        _remove(changed, alarm)
        assert dict(all_alarms - _parts(changed).alarms_of) == {watched: 1}  # type: ignore[operator]


@pytest.mark.parametrize("change", ["another_rule", None])
def test_a_query_that_watches_nothing_of_the_template_is_an_error(
    template: Json, change: str | None
) -> None:
    (query,) = _properties(template, "AlarmsRuleErrorActionFailures")["Metrics"]
    rule = _properties(template, "TelemetryRule")["RuleName"]
    query["Expression"] = query["Expression"].replace(rule, change) if change else "SELECT 1"
    with pytest.raises(ValueError, match="AlarmsRuleErrorActionFailures watches nothing"):
        _parts(template)


def test_an_alarm_that_watches_nothing_of_the_template_is_an_error(template: Json) -> None:
    (dimension,) = _properties(template, "AlarmsRuleThrottles")["Dimensions"]
    dimension["Value"] = "another_rule"
    with pytest.raises(ValueError, match="AlarmsRuleThrottles watches nothing"):
        _parts(template)


def test_boxes_do_not_touch_each_other() -> None:
    for one, other in combinations(POSITIONS.values(), 2):
        apart = abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
        # The devices stand left of everything, and are smaller.
        assert apart or one is POSITIONS["devices"], (one, other)


def test_references_to_the_account_are_no_resources() -> None:
    assert referred({"Fn::Join": ["", ["a", {"Ref": "AWS::Region"}, {"Ref": "B12345678"}]]}) == [
        "B"
    ]


# --- the dashboard --------------------------------------------------------------------------------


def test_every_widget_is_in_its_place_with_its_threshold() -> None:
    (dashboard,) = read_parts(example()).of_type("AWS::CloudWatch::Dashboard").values()
    drawn = pictures()["dashboard.svg"]
    widgets = picture_dashboard.read_body(dashboard["DashboardBody"])
    assert len(widgets) > 20
    marks = [f"<!-- {each['type']} {each['x']},{each['y']} -->" for each in widgets]
    assert [mark for mark in marks if drawn.count(mark) != 1] == []
    metrics = [each for each in widgets if each["type"] == "metric"]
    assert len(re.findall(r">(?:Sum|Maximum|Value) ≥ [\d,]+<", drawn)) == len(metrics)


def test_it_says_that_the_values_are_not_of_aws() -> None:
    assert "in the emulator on one machine, not of AWS" in pictures()["dashboard.svg"]
    assert "20 simulated devices, 1200 records" in pictures()["dashboard.svg"]


def test_the_values_are_those_of_the_run() -> None:
    drawn = pictures()["dashboard.svg"]
    assert _RUN["accounting"] == {"sent": 1200, "stored": 1023, "dead_lettered": 177, "lost": 0}
    with_data = [each["points"] for each in _RUN["alarms"].values() if each["points"]]
    assert len(with_data) >= 5
    assert drawn.count("no data in this run") == len(_RUN["alarms"]) - len(with_data)
    assert "largest 177" in drawn, "messages on the DLQ queue"


@pytest.mark.parametrize(
    "change",
    [
        lambda each: _properties(each, "AlarmsProcessorDuration").update(Threshold=9),
        lambda each: _properties(each, "AlarmsDashboard").update(DashboardName="iot-other-dev"),
        lambda each: _properties(each, "AlarmsProcessorErrors").update(MetricName="Other"),
    ],
    ids=["threshold", "name", "metric"],
)
def test_what_the_widgets_say_comes_from_the_template(
    template: Json, change: Callable[[Json], Any]
) -> None:
    change(template)
    assert picture_dashboard.draw(_parts(template), _RUN) != pictures()["dashboard.svg"]


def test_a_widget_that_moves_moves_in_the_picture(template: Json) -> None:
    body = _properties(template, "AlarmsDashboard")["DashboardBody"]["Fn::Join"][1]
    at = next(index for index, each in enumerate(body) if '"x":16,"y":5' in str(each))
    body[at] = body[at].replace('"x":16,"y":5', '"x":12,"y":5')
    assert picture_dashboard.draw(_parts(template), _RUN) != pictures()["dashboard.svg"]


def test_a_run_with_other_alarms_is_an_error(template: Json) -> None:
    _remove_alarm(template)
    with pytest.raises(ValueError, match=r"--measure\): \['iot-rule-throttling-dev'\]"):
        picture_dashboard.draw(_parts(template), _RUN)


def test_a_widget_of_another_kind_is_an_error(template: Json) -> None:
    _properties(template, "AlarmsDashboard")["DashboardBody"] = json.dumps(
        {"widgets": [{"type": "log", "x": 0, "y": 0, "width": 1, "height": 1, "properties": {}}]}
    )
    with pytest.raises(ValueError, match=r"cannot draw this: .*'log'"):
        picture_dashboard.draw(_parts(template), _RUN)


def test_the_file_of_the_run_is_as_it_is_written() -> None:
    assert picture_runs.as_json(_RUN) == POINTS.read_text(encoding="utf-8")


# --- the terminal ---------------------------------------------------------------------------------


def _lines_of_terminal() -> str:
    drawn = ElementTree.fromstring(pictures()["demo.svg"])
    lines: dict[float, str] = {}
    for each in drawn.iter("{http://www.w3.org/2000/svg}text"):
        y = float(each.attrib["y"])
        lines[y] = lines.get(y, "") + "".join(each.itertext())
    return "\n".join(" ".join(line.split()) for line in lines.values())


def test_the_text_is_that_of_a_good_run() -> None:
    text = TEXT.read_text(encoding="utf-8")
    assert text.endswith('{"sent": 1200, "stored": 1023, "dead_lettered": 177, "lost": 0}\n')
    assert not re.search(r"/(?:tmp|home|work|root|Users)\b", text), "a path of somebody's machine"
    for heading in picture_terminal.LEFT_OUT:
        assert f"\n\n{heading}\n" in text


def test_it_shows_the_steps_and_the_accounting() -> None:
    shown = _lines_of_terminal()
    assert shown.index("$ make demo") < shown.index("send from 20 devices ...")
    assert shown.index("Records by kind") < shown.index("not-a-finite-number 59")
    assert '{"sent": 1200, "stored": 1023, "dead_lettered": 177, "lost": 0}' in shown
    for heading in picture_terminal.LEFT_OUT:
        assert f"[… not in this picture: {heading}]" in shown


def test_the_path_of_the_emulator_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "print('--ca-bundle /somewhere/iot-constructs-local-x/emulator-0/ca.pem  ')"
    monkeypatch.setattr(picture_runs, "_DEMO", (sys.executable, "-c", code))
    assert picture_runs.capture_text() == "--ca-bundle emulator-0/ca.pem\n"


# --- all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", _NAMES)
def test_a_picture_is_small_and_needs_nothing_else(name: str) -> None:
    text = (PICTURES / name).read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(text) < 60_000
    assert "url(http" not in text
    assert not re.search(r"<(?:script|image|foreignObject|use)\b|href=", text)
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    assert root.find("{http://www.w3.org/2000/svg}desc") is not None


@pytest.mark.parametrize("name", ["architecture.svg", "dashboard.svg"])
def test_a_picture_has_every_colour_for_light_and_dark(name: str) -> None:
    text = (PICTURES / name).read_text(encoding="utf-8")
    light, dark = text.split("@media (prefers-color-scheme: dark) {")
    rules = [set(re.findall(r"^\.([\w-]+) \{[^}]*#", part, re.M)) for part in (light, dark)]
    assert rules[0] == rules[1] != set()


@pytest.mark.parametrize("name", ["architecture.svg", "dashboard.svg"])
def test_nothing_is_outside_of_the_picture(name: str) -> None:
    root = ElementTree.fromstring((PICTURES / name).read_text(encoding="utf-8"))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for each in root.iter():
        x, y = float(each.attrib.get("x", 0)), float(each.attrib.get("y", 0))
        right = x + float(each.attrib.get("width", 0)) if each is not root else width
        bottom = y + float(each.attrib.get("height", 0)) if each is not root else height
        assert 0 <= x <= right <= width, each.attrib
        assert 0 <= y <= bottom <= height, each.attrib
