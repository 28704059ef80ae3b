"""The dashboard, drawn from its body in the template and filled with the metrics of a run (`picture_runs.py`).

Widgets are where their grid has them. A metric widget that names an alarm shows, as CloudWatch does, the alarm's metric
with its threshold, under the alarm's name. A widget that CloudWatch would draw in another way is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from docs import picture_svg as svg
from docs.picture_template import Json, Parts, physical_name, short

_UNIT_WIDTH, _UNIT_HEIGHT, _MARGIN, _HEAD = 44, 23, 12, 70
_GAP = 4
_TILES_ACROSS = 5
_STATES = {"OK": "ok", "ALARM": "bad", "INSUFFICIENT_DATA": "none"}
_STATE_TEXTS = {"OK": "OK", "ALARM": "in alarm", "INSUFFICIENT_DATA": "no data"}
_COMPARISONS = {"GreaterThanOrEqualToThreshold": "≥", "GreaterThanThreshold": ">"}


class Box(NamedTuple):
    """Where a widget is, in pixels."""

    x: float
    y: float
    width: float
    height: float


def draw(parts: Parts, run: Json) -> str:
    """The picture.

    Raises:
        ValueError: a widget that this cannot draw, or an alarm that the run did not have.
    """
    ((_, dashboard),) = parts.of_type("AWS::CloudWatch::Dashboard").items()
    widgets = read_body(dashboard["DashboardBody"])
    alarms = parts.of_type("AWS::CloudWatch::Alarm")
    names = {each["AlarmName"] for each in alarms.values()}
    if names != run["alarms"].keys():
        differing = sorted(names ^ run["alarms"].keys())
        raise ValueError(f"the run has other alarms (generate_pictures --measure): {differing}")
    across = max(each["x"] + each["width"] for each in widgets)
    down = max(each["y"] + each["height"] for each in widgets)
    return svg.document(
        2 * _MARGIN + across * _UNIT_WIDTH,
        _HEAD + _MARGIN + down * _UNIT_HEIGHT,
        "Dashboard of the example, with the data of a run on one machine",
        "The widgets of the CloudWatch dashboard: the states of all alarms, then for each alarm its metric and its "
        "threshold. " + _caption(run),
        [*_head(dashboard, run), *_widgets(widgets, alarms, run)],
    )


def read_body(body: Any) -> list[dict[str, Any]]:
    """The widgets, with the logical ids of alarms in place of their ARNs."""
    pieces = [body] if isinstance(body, str) else body["Fn::Join"][1]
    text = "".join(each if isinstance(each, str) else _reference(each) for each in pieces)
    widgets: list[dict[str, Any]] = json.loads(text)["widgets"]
    return widgets


def _reference(value: Json) -> str:
    return short(value["Fn::GetAtt"][0]) if "Fn::GetAtt" in value else str(value["Ref"])


def _caption(run: Json) -> str:
    sent = run["accounting"]["sent"]
    return (
        f"Values are of a demo run in the emulator on one machine, not of AWS: {run['devices']} simulated devices, "
        f"{sent} records, {run['messages a second']:g} messages a second, a point each minute."
    )


def _head(dashboard: Json, run: Json) -> Iterator[str]:
    x = _MARGIN + _GAP
    yield svg.text(
        x, 24, f"CloudWatch dashboard {physical_name(dashboard['DashboardName'])}", "ink bold", 15
    )
    yield svg.text(x, 42, _caption(run), "soft")
    note = "Red: the threshold. No data: nothing of the kind happened, or the emulator does not publish it."
    yield svg.text(x, 57, note, "soft")


def _widgets(widgets: list[dict[str, Any]], alarms: Mapping[str, Json], run: Json) -> Iterator[str]:
    for widget in widgets:
        box = Box(
            _MARGIN + widget["x"] * _UNIT_WIDTH + _GAP,
            _HEAD + widget["y"] * _UNIT_HEIGHT + _GAP,
            widget["width"] * _UNIT_WIDTH - 2 * _GAP,
            widget["height"] * _UNIT_HEIGHT - 2 * _GAP,
        )
        properties = widget["properties"]
        yield f"<!-- {widget['type']} {widget['x']},{widget['y']} -->"
        if widget["type"] == "text":
            yield svg.text(
                box.x, box.y + 14, properties["markdown"].removeprefix("## "), "ink bold", 13
            )
        elif widget["type"] == "alarm":
            shown = [alarms[each]["AlarmName"] for each in properties["alarms"]]
            yield from _states(box, properties["title"], shown, run)
        elif widget["type"] == "metric" and len(properties["annotations"]["alarms"]) == 1:
            alarm = alarms[properties["annotations"]["alarms"][0]]
            yield from _chart(box, alarm, run)
        else:
            raise ValueError(f"docs/picture_dashboard.py cannot draw this: {widget}")


def _states(box: Box, title: str, names: list[str], run: Json) -> Iterator[str]:
    yield svg.rect(*box, classes="card", radius=4)
    yield svg.text(box.x + 8, box.y + 15, title, "ink bold")
    right = box.x + box.width
    for at, (state, colour) in enumerate(_STATES.items()):
        count = sum(run["alarms"][name]["state"] == state for name in names)
        x = right - 280 + 95 * at
        yield svg.dot(x, box.y + 11, 4, colour)
        yield svg.text(x + 8, box.y + 15, f"{count} {_STATE_TEXTS[state]}", "soft small")
    rows = -(-len(names) // _TILES_ACROSS)
    width, height = box.width / _TILES_ACROSS, (box.height - 24) / rows
    for at, name in enumerate(names):
        x, y = box.x + at % _TILES_ACROSS * width + 12, box.y + 22 + (at // _TILES_ACROSS) * height
        yield svg.dot(x, y + height / 2, 4, _STATES[run["alarms"][name]["state"]])
        yield svg.text(x + 9, y + height / 2 + 3, name, "ink", 9)


def _chart(box: Box, alarm: Json, run: Json) -> Iterator[str]:
    yield svg.rect(*box, classes="card", radius=4)
    name, threshold = alarm["AlarmName"], alarm["Threshold"]
    measured = run["alarms"][name]
    yield svg.dot(box.x + 11, box.y + 11, 4, _STATES[measured["state"]])
    yield svg.text(box.x + 20, box.y + 15, name, "ink bold")
    metric, statistic = _metric(alarm)
    yield svg.text(box.x + 8, box.y + 28, metric, "soft", 9)
    plot = Box(box.x + 10, box.y + 44, box.width - 20, box.height - 62)
    points = measured["points"]
    top = 1.15 * max([threshold, *(value for _, value in points)])
    last = max(minute for each in run["alarms"].values() for minute, _ in each["points"])

    def at(minute: float, value: float) -> tuple[float, float]:
        x = round(plot.x + plot.width * minute / last, 1)
        return x, round(plot.y + plot.height * (1 - value / top), 1)

    yield svg.line([at(0, 0), at(last, 0)], "grid", 1)
    yield svg.line([at(0, threshold), at(last, threshold)], "fail", 1)
    sign = _COMPARISONS[alarm["ComparisonOperator"]]
    label = f"{statistic} {sign} {_number(threshold)}"
    label_y = at(0, threshold)[1] - 4
    yield svg.text(plot.x + plot.width, label_y, label, "bad end", 9)
    if points:
        yield svg.line([at(*each) for each in points], "flow", 1.8)
        yield from (svg.dot(*at(*each), 1.8, "flow-end") for each in points)
        largest = max(value for _, value in points)
        text = f"largest {_number(largest)}"
    else:
        text = "no data in this run"
        yield svg.text(
            plot.x + plot.width / 2, at(0, threshold / 2)[1] + 3, text, "soft middle small"
        )
    base = box.y + box.height - 6
    yield svg.text(plot.x, base, "0 min", "soft", 9)
    yield svg.text(plot.x + plot.width, base, f"{last} min", "soft end", 9)
    if points:
        yield svg.text(plot.x + plot.width / 2, base, text, "soft middle", 9)


def _metric(alarm: Json) -> tuple[str, str]:
    """What the alarm is on, and what is compared with the threshold."""
    if "Metrics" not in alarm:
        return f"{alarm['Namespace']} {alarm['MetricName']}", alarm["Statistic"]
    (result,) = (each for each in alarm["Metrics"] if each["ReturnData"])
    return f"metric math: {result['Label']}", "Value"


def _number(value: float) -> str:
    return f"{value:,.0f}"
