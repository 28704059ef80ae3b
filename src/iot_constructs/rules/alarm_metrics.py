"""The metrics of the alarms of an app, including metric math."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, product
from typing import Any, Final

from iot_constructs.rules.graph import UNKNOWN, Graph, Target
from iot_constructs.rules.metric_catalogue import emitted
from iot_constructs.rules.template import Resource

ALARM: Final = "AWS::CloudWatch::Alarm"

# Resource -> namespace and name of the metrics that monitor it.
_Monitored = dict[Target, set[tuple[str | None, str | None]]]


@dataclass(frozen=True)
class AlarmMetric:
    """A metric of an alarm.

    Attributes:
        alarm: the alarm.
        namespace: for example AWS/Lambda; None if known only at deployment.
        metric: the name; None if known only at deployment.
        dimensions: name -> value as in the template; None if some are unknown.
        property_path: the path in the alarm's resource.
    """

    alarm: Resource
    namespace: str | None
    metric: str | None
    dimensions: Mapping[str, Any] | None
    property_path: str

    def can_receive_data(self) -> bool:
        """Return whether AWS emits the metric with these dimensions; True if the catalogue does not contain it."""
        if self.namespace is None or self.metric is None or self.dimensions is None:
            return True
        known = emitted(self.namespace, self.metric)
        return known is None or known.has(self.dimensions)


class Alarms:
    """All metrics and expressions of the alarms of an app."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.metrics: list[AlarmMetric] = []
        self._expressions: set[str] = set()
        self._monitored: dict[tuple[str, str], _Monitored] = {}
        for alarm in graph.of_type(ALARM):
            self.metrics += self._metrics(alarm)

    def alternatives(self) -> Iterator[list[AlarmMetric]]:
        """Return the branches of each metric: one, or those of an Fn::If."""
        for _, branches in groupby(self.metrics, key=lambda it: (it.alarm, it.property_path)):
            yield list(branches)

    def monitors(
        self, resource: Resource, namespace: str, metrics: frozenset[str], dimension: str
    ) -> bool:
        """Return whether an alarm that can receive data monitors one of ``metrics`` of ``resource``.

        Args:
            resource: the monitored resource.
            namespace: the namespace of the metrics.
            metrics: the metrics, any of which is sufficient.
            dimension: the dimension that identifies the resource. A metric without dimensions covers all resources.
        """
        wanted = {(space, name) for space in (namespace, None) for name in (*metrics, None)}
        wanted.remove((None, None))  # unknown
        found = self._monitored_by(dimension, resource.type)
        if any(not wanted.isdisjoint(found.get(it, ())) for it in (resource, UNKNOWN)):
            return True
        # SEARCH and Metrics Insights expressions contain the names of metrics and can cover every resource.
        return any(
            namespace in text and any(name in text for name in metrics)
            for text in self._expressions
        )

    def _monitored_by(self, dimension: str, type: str) -> _Monitored:
        """Return what the metrics with this dimension monitor; UNKNOWN is any resource of the type."""
        if (dimension, type) not in self._monitored:
            found: _Monitored = {}
            for metric in self.metrics:
                if metric.can_receive_data():
                    target = self._target(metric, dimension, type)
                    found.setdefault(target, set()).add((metric.namespace, metric.metric))
            self._monitored[dimension, type] = found
        return self._monitored[dimension, type]

    def _target(self, metric: AlarmMetric, dimension: str, type: str) -> Target:
        if not metric.dimensions:
            return UNKNOWN
        if "GlobalSecondaryIndexName" in metric.dimensions:
            return None  # only of the index
        value = metric.dimensions.get(dimension)
        return self._graph.target(value, metric.alarm.template, type)

    def _metrics(self, alarm: Resource) -> Iterator[AlarmMetric]:
        properties = alarm.properties
        if "Metrics" not in properties:
            if "MetricName" in properties:
                yield from self._branches(alarm, properties, "Properties")
            return
        for index, query in enumerate(self._graph.items(properties["Metrics"])):
            path = f"Properties/Metrics/{index}"
            for stat in self._graph.at(query, "MetricStat", "Metric"):
                yield from self._branches(alarm, stat, f"{path}/MetricStat/Metric")
            for expression in self._graph.at(query, "Expression"):
                parts = self._graph.parts(expression, alarm.template)
                self._expressions.add("".join(it for it in parts if isinstance(it, str)))

    def _branches(self, alarm: Resource, stat: Any, path: str) -> Iterator[AlarmMetric]:
        """Return a metric for each branch of its namespace and name."""
        for namespace, name in product(
            self._graph.at(stat, "Namespace"), self._graph.at(stat, "MetricName")
        ):
            yield AlarmMetric(
                alarm,
                self._graph.text(namespace, alarm.template),
                self._graph.text(name, alarm.template),
                self._dimensions(alarm, stat),
                path,
            )

    def _dimensions(self, alarm: Resource, stat: Any) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        written = self._graph.at(stat, "Dimensions")
        if len(written) > 1:
            return None
        for dimension in self._graph.items(written[0]):
            if not isinstance(dimension, Mapping):
                return None
            name = self._graph.text(dimension.get("Name"), alarm.template)
            if name is None:
                return None
            found[name] = dimension.get("Value")
        return found
