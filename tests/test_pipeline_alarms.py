"""PipelineAlarms: the complete set, on metrics that AWS emits, through a topic that CloudWatch may publish to."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, cast

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns

from iot_constructs import (
    AlarmThresholds,
    DeviceStateTable,
    MonitoredStream,
    PipelineAlarms,
    SecureDataBucket,
    StreamArchive,
    StreamProcessor,
    TelemetryRule,
    TimeSeriesTable,
)
from iot_constructs import _defaults as defaults
from iot_constructs._alarms import create_alarm
from tests.synth_support import Json, fresh_stack, one, one_resource, resources, template_of
from tests.test_whole_pipeline import WholePipeline, as_list, inline_code, plain, the_id

_ALARM = "AWS::CloudWatch::Alarm"
_COMPOSITE = "AWS::CloudWatch::CompositeAlarm"
_DASHBOARD = "AWS::CloudWatch::Dashboard"
_TOPIC = "AWS::SNS::Topic"
_KEY = "AWS::KMS::Key"

# What AWS emits: (namespace, metric) -> (its dimensions, the statistics that mean something). An alarm on anything
# else waits for data that never comes. Pages are below docs.aws.amazonaws.com, abbreviated as in FACTS.
_EMITTED: dict[tuple[str, str], tuple[set[str], set[str]]] = {
    # K monitoring-with-cloudwatch.html, FACTS 8: stream-level metrics
    ("AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds"): ({"StreamName"}, {"Maximum"}),
    ("AWS/Kinesis", "WriteProvisionedThroughputExceeded"): ({"StreamName"}, {"Sum"}),
    ("AWS/Kinesis", "ReadProvisionedThroughputExceeded"): ({"StreamName"}, {"Sum"}),
    # L monitoring-metrics-types.html, FACTS 5: by function
    ("AWS/Lambda", "Errors"): ({"FunctionName"}, {"Sum"}),
    ("AWS/Lambda", "Throttles"): ({"FunctionName"}, {"Sum"}),
    ("AWS/Lambda", "Duration"): ({"FunctionName"}, {"Maximum"}),
    ("AWS/Lambda", "IteratorAge"): ({"FunctionName"}, {"Maximum"}),
    ("AWS/Lambda", "DestinationDeliveryFailures"): ({"FunctionName"}, {"Sum"}),
    ("AWS/Lambda", "AsyncEventsDropped"): ({"FunctionName"}, {"Sum"}),
    # the same page, FACTS 5: by mapping, and only where its MetricsConfig has EventCount
    ("AWS/Lambda", "FailedInvokeEventCount"): ({"EventSourceMappingUUID"}, {"Sum"}),
    ("AWS/Lambda", "OnFailureDestinationDeliveredEventCount"): (
        {"EventSourceMappingUUID"},
        {"Sum"},
    ),
    ("AWS/Lambda", "DroppedEventCount"): ({"EventSourceMappingUUID"}, {"Sum"}),
    # D metrics-dimensions.html, FACTS 4: the table without its indexes (ours have none). Not UserErrors (no dimension,
    # no throttling), not ThrottledRequests (needs an Operation).
    ("AWS/DynamoDB", "WriteThrottleEvents"): ({"TableName"}, {"Sum"}),
    ("AWS/DynamoDB", "ReadThrottleEvents"): ({"TableName"}, {"Sum"}),
    # AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ({"QueueName"}, {"Maximum"}),
    # N sns-monitoring-using-cloudwatch.html, FACTS 6
    ("AWS/SNS", "NumberOfNotificationsFailed"): ({"TopicName"}, {"Sum"}),
    ("AWS/SNS", "NumberOfMessagesPublished"): ({"TopicName"}, {"Sum"}),
    # I metrics_dimensions.html: rule metrics
    ("AWS/IoT", "RuleMessageThrottled"): ({"RuleName"}, {"Sum"}),
    # F monitoring-with-cloudwatch-metrics.html, FACTS 14: seconds
    ("AWS/Firehose", "DeliveryToS3.DataFreshness"): ({"DeliveryStreamName"}, {"Maximum"}),
}

# Everything that is watched in a whole pipeline: name, metric, threshold, and which resource its dimension names.
_COMPLETE: dict[str, tuple[str, float, str]] = {
    "iot-kinesis-iterator-age": ("GetRecords.IteratorAgeMilliseconds", 302_400_000, "Stream"),
    "iot-kinesis-write-throttling": ("WriteProvisionedThroughputExceeded", 1, "Stream"),
    "iot-kinesis-read-throttling": ("ReadProvisionedThroughputExceeded", 1, "Stream"),
    "iot-lambda-errors": ("Errors", 1, "ProcessorFunction"),
    "iot-lambda-throttles": ("Throttles", 1, "ProcessorFunction"),
    "iot-lambda-duration": ("Duration", 48_000, "ProcessorFunction"),
    "iot-lambda-iterator-age": ("IteratorAge", 900_000, "ProcessorFunction"),
    "iot-lambda-failed-events": ("FailedInvokeEventCount", 1, "ProcessorMapping"),
    "iot-lambda-failed-batches": (
        "OnFailureDestinationDeliveredEventCount",
        1,
        "ProcessorMapping",
    ),
    "iot-lambda-dropped-events": ("DroppedEventCount", 1, "ProcessorMapping"),
    "iot-lambda-destination-failures": ("DestinationDeliveryFailures", 1, "ProcessorFunction"),
    "iot-lambda-async-events-dropped": ("AsyncEventsDropped", 1, "ProcessorFunction"),
    "iot-lambda-dlq-messages": ("ApproximateNumberOfMessagesVisible", 1, "ProcessorDlqQueue"),
    "iot-sns-dlq-delivery-failures": ("NumberOfNotificationsFailed", 1, "ProcessorDlqTopic"),
    "iot-dynamodb-metrics-throttling": ("WriteThrottleEvents", 1, "TimeSeriesTable"),
    "iot-dynamodb-metrics-read-throttling": ("ReadThrottleEvents", 1, "TimeSeriesTable"),
    "iot-dynamodb-state-throttling": ("WriteThrottleEvents", 1, "DeviceStateTable"),
    "iot-dynamodb-state-read-throttling": ("ReadThrottleEvents", 1, "DeviceStateTable"),
    "iot-rule-throttling": ("RuleMessageThrottled", 1, "iot_telemetry_qa7"),
    "iot-firehose-freshness": ("DeliveryToS3.DataFreshness", 900, "ArchiveDeliveryStream"),
}


@pytest.fixture(scope="module")
def template() -> Json:
    stack = fresh_stack("qa7")
    WholePipeline(stack)
    return template_of(stack)


def _alarms(template: Json) -> dict[str, Json]:
    """The properties of every metric alarm, by name."""
    found = [body["Properties"] for body in resources(template, _ALARM).values()]
    return {properties["AlarmName"]: properties for properties in found}


def _id_of_alert_topic(template: Json) -> str:
    (topic,) = [key for key in resources(template, _TOPIC) if "AlertTopic" in key]
    return topic


# --- which alarms, on what ------------------------------------------------------------------------


def test_the_set_is_complete(template: Json) -> None:
    assert set(_alarms(template)) == {f"{name}-qa7" for name in _COMPLETE}


@pytest.mark.parametrize("name", list(_COMPLETE))
def test_what_each_alarm_looks_at(template: Json, name: str) -> None:
    metric, threshold, watched = _COMPLETE[name]
    alarm = _alarms(template)[f"{name}-qa7"]
    assert (alarm["MetricName"], alarm["Threshold"]) == (metric, threshold)
    (dimension,) = alarm["Dimensions"]
    assert plain(dimension["Value"]).removeprefix("${").startswith(watched)
    assert alarm["Period"] == 300
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert alarm["TreatMissingData"] == "notBreaching"
    periods = 3 if name == "iot-lambda-failed-events" else 1
    assert alarm["EvaluationPeriods"] == alarm["DatapointsToAlarm"] == periods


def _check_that_aws_emits(template: Json) -> int:
    alarms = _alarms(template)
    for name, alarm in alarms.items():
        metric = (alarm["Namespace"], alarm["MetricName"])
        assert metric in _EMITTED, name
        dimensions, statistics = _EMITTED[metric]
        assert alarm["Dimensions"], name
        assert {d["Name"] for d in alarm["Dimensions"]} == dimensions, name
        assert all(d["Value"] for d in alarm["Dimensions"]), name
        assert alarm["Statistic"] in statistics, name
    return len(alarms)


def test_every_alarm_is_on_a_metric_and_dimensions_that_aws_emits(template: Json) -> None:
    assert _check_that_aws_emits(template) == 20


def test_every_alarm_looks_at_the_period_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is CDK's own period today: without this, an alarm that does not say it would go unseen."""
    monkeypatch.setattr(defaults, "ALARM_PERIOD_MINUTES", 10)
    stack = fresh_stack()
    pipeline = WholePipeline(stack)
    assert pipeline.rule.metric_matched().period.to_minutes() == 10
    assert {alarm["Period"] for alarm in _alarms(template_of(stack)).values()} == {600}


def test_metrics_by_mapping_are_switched_on(template: Json) -> None:
    by_mapping = [
        alarm
        for alarm in _alarms(template).values()
        if alarm["Dimensions"][0]["Name"] == "EventSourceMappingUUID"
    ]
    assert len(by_mapping) == 3
    mapping = the_id(template, "AWS::Lambda::EventSourceMapping")
    assert {plain(alarm["Dimensions"][0]["Value"]) for alarm in by_mapping} == {f"${{{mapping}}}"}
    metrics = one(template, "AWS::Lambda::EventSourceMapping")["MetricsConfig"]
    assert metrics == {"Metrics": ["EventCount"]}


def test_every_description_says_what_happened_what_it_costs_and_what_to_do_first(
    template: Json,
) -> None:
    alarms = [*_alarms(template).values(), one(template, _COMPOSITE)]
    for alarm in alarms:
        before, after = alarm["AlarmDescription"].split(" First: ")
        sentences = [sentence for sentence in before.split(". ") if sentence]
        assert len(sentences) >= 2, before
        assert len(after) > 15, after
        assert after.endswith("."), after
    assert len({alarm["AlarmDescription"] for alarm in alarms}) >= 19  # both tables are alike


def test_descriptions_name_the_limits_that_were_set() -> None:
    stack = fresh_stack()
    limits = AlarmThresholds(processor_duration_share=0.25, processing_delay_minutes=7)
    PipelineAlarms(stack, "Alarms", processor=_processor(stack), thresholds=limits)
    alarms = _alarms(template_of(stack))
    duration = alarms["iot-lambda-duration-dev"]["AlarmDescription"]
    assert "Fires at 15 s (0.25 of the timeout). " in duration
    assert "Fires at 7 minutes. " in alarms["iot-lambda-iterator-age-dev"]["AlarmDescription"]


def test_ids_below_it_are_kept() -> None:
    """An id is API: an alarm under another one is a new alarm, which may not have the old one's name."""
    stack = fresh_stack()
    alarms = WholePipeline(stack).alarms
    assert [child.node.id for child in alarms.node.children] == [
        "AlertTopic",
        "ProcessorErrors",
        "ProcessorThrottles",
        "ProcessorDuration",
        "ProcessingDelay",
        "FailedEvents",
        "FailedBatches",
        "DroppedEvents",
        "DestinationDeliveryFailures",
        "AsyncEventsDropped",
        "DlqMessages",
        "DlqDeliveryFailures",
        "TimeSeriesTableWriteThrottles",
        "TimeSeriesTableReadThrottles",
        "DeviceStateTableWriteThrottles",
        "DeviceStateTableReadThrottles",
        "RuleThrottles",
        "Health",
        "Dashboard",
    ]
    other = fresh_stack()
    of_plain = PipelineAlarms(other, "Alarms", stream=kinesis.Stream(other, "Plain"))
    assert "Stream" in {child.node.id for child in of_plain.node.children}


# --- thresholds -----------------------------------------------------------------------------------

_ALARMS_OF_FIELD: dict[str, set[str]] = {
    "processor_errors": {"lambda-errors"},
    "processor_throttles": {"lambda-throttles"},
    "processor_duration_share": {"lambda-duration"},
    "processing_delay_minutes": {"lambda-iterator-age"},
    "failed_events": {"lambda-failed-events"},
    "failed_batches": {"lambda-failed-batches"},
    "dropped_events": {"lambda-dropped-events"},
    "destination_delivery_failures": {"lambda-destination-failures"},
    "async_events_dropped": {"lambda-async-events-dropped"},
    "dlq_messages": {"lambda-dlq-messages"},
    "dlq_delivery_failures": {"sns-dlq-delivery-failures"},
    "table_write_throttles": {"dynamodb-metrics-throttling", "dynamodb-state-throttling"},
    "table_read_throttles": {
        "dynamodb-metrics-read-throttling",
        "dynamodb-state-read-throttling",
    },
    "rule_throttles": {"rule-throttling"},
}
_FIELDS = [field.name for field in dataclasses.fields(AlarmThresholds)]


def test_every_field_is_tested() -> None:
    assert list(_ALARMS_OF_FIELD) == _FIELDS


@pytest.fixture(scope="module")
def one_off() -> dict[str, set[str]]:
    """The names of the alarms of a whole pipeline without one field's, for each field."""
    stack = fresh_stack()
    pipeline = WholePipeline(stack)
    made = {}
    for number, field in enumerate(_FIELDS):
        without: dict[str, Any] = {field: None}
        # Each in a stack and under a suffix of its own, beside the pipeline that all of them watch.
        other = fresh_stack(f"dev-{number}", id=f"Off{number}", app=cast(cdk.App, stack.node.root))
        alarms = PipelineAlarms(
            other,
            "Alarms",
            processor=pipeline.processor,
            time_series_table=pipeline.time_series,
            device_state_table=pipeline.device_state,
            rule=pipeline.rule,
            thresholds=AlarmThresholds(**without),
        )
        made[field] = other, alarms
    return {
        field: {name.removesuffix(f"-dev-{number}") for name in _alarms(template_of(other))}
        for number, (field, (other, _)) in enumerate(made.items())
    }


@pytest.mark.parametrize("field", _FIELDS)
def test_none_means_no_such_alarm(field: str, one_off: dict[str, set[str]]) -> None:
    mine = {name for names in _ALARMS_OF_FIELD.values() for name in names}
    assert one_off[field] == {f"iot-{name}" for name in mine - _ALARMS_OF_FIELD[field]}


def test_thresholds_of_the_caller() -> None:
    values = {field: 3 + number for number, field in enumerate(_FIELDS)}
    limits: dict[str, Any] = {**values, "processor_duration_share": 0.5}
    stack = fresh_stack()
    WholePipeline(stack, thresholds=AlarmThresholds(**limits))
    alarms = _alarms(template_of(stack))
    for field, names in _ALARMS_OF_FIELD.items():
        expected = {
            "processor_duration_share": 30_000,
            "processing_delay_minutes": values["processing_delay_minutes"] * 60_000,
        }.get(field, values[field])
        for name in names:
            assert alarms[f"iot-{name}-dev"]["Threshold"] == expected, name


def test_the_whole_timeout_is_a_share_and_so_is_a_fraction_of_a_minute() -> None:
    limits = AlarmThresholds(processor_duration_share=1, processing_delay_minutes=0.5)
    stack = fresh_stack()
    timeout = cdk.Duration.seconds(10)
    processor = _processor(stack, timeout=timeout)
    PipelineAlarms(stack, "Alarms", processor=processor, thresholds=limits)
    alarms = _alarms(template_of(stack))
    assert alarms["iot-lambda-duration-dev"]["Threshold"] == 10_000
    assert alarms["iot-lambda-iterator-age-dev"]["Threshold"] == 30_000


# The processor sees no record that is older than max_record_age: an alarm on more than that would never fire.


@pytest.mark.parametrize(("age", "delay"), [(900, 450), (60, 30), (901, 900)])
def test_the_delay_is_below_the_age_at_which_records_are_given_up(age: int, delay: int) -> None:
    stack = fresh_stack()
    processor = _processor(stack, max_record_age=cdk.Duration.seconds(age))
    PipelineAlarms(stack, "Alarms", processor=processor)
    alarm = _alarms(template_of(stack))["iot-lambda-iterator-age-dev"]
    assert alarm["Threshold"] == delay * 1000
    assert ("(0.5 of max_record_age)" in alarm["AlarmDescription"]) is (age <= 900)


def test_a_delay_of_the_caller_that_is_never_reached_is_refused() -> None:
    stack = fresh_stack()
    processor = _processor(stack, max_record_age=cdk.Duration.minutes(20))
    limits = AlarmThresholds(processing_delay_minutes=20)
    with pytest.raises(ValueError, match="or None for no such alarm") as refusal:
        PipelineAlarms(stack, "Alarms", processor=processor, thresholds=limits)
    assert "processing_delay_minutes=20 is never reached" in str(refusal.value)
    assert "max_record_age of 20 minutes" in str(refusal.value)


@pytest.mark.parametrize("field", _FIELDS)
@pytest.mark.parametrize("value", [0, -1, True, False])
def test_a_threshold_that_would_always_fire_is_refused(field: str, value: int) -> None:
    limits: dict[str, Any] = {field: value}
    with pytest.raises(ValueError, match="pass None for no such alarm") as refusal:
        AlarmThresholds(**limits)
    assert f"{field}={value!r} would always fire" in str(refusal.value)


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"processor_duration_share=1\.01 is above 1"):
        AlarmThresholds(processor_duration_share=1.01)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_threshold_that_would_never_fire_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"processing_delay_minutes=(nan|inf) would never fire"):
        AlarmThresholds(processing_delay_minutes=value)


def test_thresholds_cannot_be_changed_later() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        AlarmThresholds().dlq_messages = 2  # type: ignore[misc]


def test_a_threshold_that_is_only_known_at_deploy_time_passes() -> None:
    stack = fresh_stack()
    token = cast(int, cdk.CfnParameter(stack, "Errors", type="Number").value_as_number)
    limits = AlarmThresholds(processor_errors=token)
    PipelineAlarms(stack, "Alarms", processor=_processor(stack), thresholds=limits)
    alarms = _alarms(template_of(stack))
    assert alarms["iot-lambda-errors-dev"]["Threshold"] == {"Ref": "Errors"}
    description = alarms["iot-lambda-errors-dev"]["AlarmDescription"]
    assert "Fires at the threshold set at deployment in 5 minutes. " in description


@pytest.mark.parametrize("field", ["processor_duration_share", "processing_delay_minutes"])
def test_a_threshold_that_is_computed_from_a_token_is_refused_or_passes(field: str) -> None:
    stack = fresh_stack()
    token: Any = cdk.CfnParameter(stack, "Limit", type="Number").value_as_number
    limits: dict[str, Any] = {field: token}
    try:
        PipelineAlarms(
            stack, "Alarms", processor=_processor(stack), thresholds=AlarmThresholds(**limits)
        )
    except ValueError as refusal:
        assert field in str(refusal)  # noqa: PT017 - either way is right
    else:
        for alarm in _alarms(template_of(stack)).values():
            assert isinstance(alarm["Threshold"], dict) or alarm["Threshold"] > 0, alarm


def test_a_share_of_a_timeout_that_is_a_token_is_refused_with_the_fix() -> None:
    stack = fresh_stack()
    token = cdk.CfnParameter(stack, "Timeout", type="Number").value_as_number
    processor = _processor(stack, timeout=cdk.Duration.seconds(token))
    with pytest.raises(ValueError, match=r"AlarmThresholds\(processor_duration_share=None\)"):
        PipelineAlarms(stack, "Alarms", processor=processor)


def test_a_processor_whose_timeout_is_only_known_at_deploy_time_can_be_watched() -> None:
    stack = fresh_stack()
    token = cdk.CfnParameter(stack, "Timeout", type="Number").value_as_number
    processor = _processor(stack, timeout=cdk.Duration.seconds(token))
    limits = AlarmThresholds(processor_duration_share=None)
    PipelineAlarms(stack, "Alarms", processor=processor, thresholds=limits)
    assert len(_alarms(template_of(stack))) == 10


# --- the alert topic ------------------------------------------------------------------------------


def test_every_alarm_says_so_when_it_fires_and_when_it_is_over(template: Json) -> None:
    topic = [{"Ref": _id_of_alert_topic(template)}]
    alarms = [*_alarms(template).values(), one(template, _COMPOSITE)]
    assert len(alarms) == 21
    for alarm in alarms:
        assert alarm["AlarmActions"] == alarm["OKActions"] == topic, alarm["AlarmName"]
        assert "InsufficientDataActions" not in alarm


def _check_that_cloudwatch_can_publish(template: Json) -> None:
    """From each alarm to the topic, from its policy to its key, and that key's policy (FACTS 6)."""
    targets = {
        plain(action)
        for body in template["Resources"].values()
        if body["Type"] in (_ALARM, _COMPOSITE)
        for action in body["Properties"]["AlarmActions"]
    }
    (topic,) = targets
    this_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    (policy,) = [
        body["Properties"]["PolicyDocument"]
        for body in resources(template, "AWS::SNS::TopicPolicy").values()
        if [plain(t) for t in body["Properties"]["Topics"]] == [topic]
    ]
    (publish,) = [s for s in policy["Statement"] if s["Effect"] == "Allow"]
    assert publish["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert publish["Action"] == "sns:Publish"
    assert plain(publish["Resource"]) == topic
    assert publish["Condition"] == this_account

    made = template["Resources"][topic.removeprefix("${").removesuffix("}")]["Properties"]
    key_id = made["KmsMasterKeyId"]["Fn::GetAtt"][0]
    statements = template["Resources"][key_id]["Properties"]["KeyPolicy"]["Statement"]
    (use,) = [s for s in statements if s["Principal"].get("Service") == "cloudwatch.amazonaws.com"]
    assert use["Effect"] == "Allow"
    assert set(as_list(use["Action"])) == {"kms:Decrypt", "kms:GenerateDataKey*"}
    assert use["Resource"] == "*"
    assert use["Condition"] == this_account


def test_cloudwatch_can_publish_to_the_alert_topic(template: Json) -> None:
    _check_that_cloudwatch_can_publish(template)


def test_the_alert_topic_is_named_encrypted_and_tls_only(template: Json) -> None:
    topic_id = _id_of_alert_topic(template)
    topic = template["Resources"][topic_id]["Properties"]
    assert topic["TopicName"] == "iot-pipeline-alerts-qa7"
    assert topic["KmsMasterKeyId"] == {"Fn::GetAtt": [the_id(template, _KEY), "Arn"]}
    (policy,) = [
        body["Properties"]["PolicyDocument"]
        for body in resources(template, "AWS::SNS::TopicPolicy").values()
        if body["Properties"]["Topics"] == [{"Ref": topic_id}]
    ]
    (deny,) = [s for s in policy["Statement"] if s["Effect"] == "Deny"]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert {s["Sid"] for s in policy["Statement"]} >= {"AllowAlarmsToPublish"}


def test_a_key_of_the_caller_for_the_alert_topic() -> None:
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Stream", stream=kinesis.Stream(stack, "Own"))
    PipelineAlarms(stack, "Alarms", stream=stream, encryption_key=kms.Key(stack, "Key"))
    template = template_of(stack)
    assert the_id(template, _KEY).startswith("Key")  # the only one
    _check_that_cloudwatch_can_publish(template)


def test_an_alert_topic_of_the_caller() -> None:
    stack = fresh_stack()
    topic = sns.Topic(stack, "Own")
    alarms = PipelineAlarms(
        stack, "Alarms", stream=MonitoredStream(stack, "Stream"), alert_topic=topic
    )
    assert alarms.alert_topic is topic
    template = template_of(stack)
    (statement,) = one(template, "AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    for alarm in [*_alarms(template).values(), one(template, _COMPOSITE)]:
        assert alarm["AlarmActions"] == [{"Ref": the_id(template, _TOPIC)}]
    assert _warnings(stack) == []


def test_an_alert_topic_of_the_caller_under_a_key_of_the_caller() -> None:
    stack = fresh_stack()
    topic = sns.Topic(stack, "Own", master_key=kms.Key(stack, "Key"))
    PipelineAlarms(stack, "Alarms", stream=MonitoredStream(stack, "Stream"), alert_topic=topic)
    _check_that_cloudwatch_can_publish(template_of(stack))
    assert _warnings(stack) == []


def test_an_alert_topic_under_the_aws_managed_key_is_loudly_reported() -> None:
    """CloudWatch cannot publish to it, and the policy of that key cannot be changed (FACTS 6)."""
    stack = fresh_stack()
    key = kms.Alias.from_alias_name(stack, "Key", "alias/aws/sns")
    topic = sns.Topic(stack, "Own", master_key=key)
    PipelineAlarms(stack, "Alarms", stream=MonitoredStream(stack, "Stream"), alert_topic=topic)
    assert _warnings(stack) != []


def _warnings(stack: cdk.Stack) -> list[str]:
    found = assertions.Annotations.from_stack(stack).find_warning("*", assertions.Match.any_value())
    return [str(entry.entry.data) for entry in found]


def test_what_the_policy_of_an_imported_topic_must_allow_is_said() -> None:
    stack = fresh_stack()
    topic = sns.Topic.from_topic_arn(stack, "Own", "arn:aws:sns:eu-central-1:123456789012:alerts")
    PipelineAlarms(stack, "Alarms", stream=MonitoredStream(stack, "Stream"), alert_topic=topic)
    (warning,) = _warnings(stack)
    for part in (
        "[ack: iot-constructs:topicPolicyNotChanged]",
        "cloudwatch.amazonaws.com sns:Publish",
        "kms:Decrypt and kms:GenerateDataKey*",
    ):
        assert part in warning


# --- one alarm over all, and the dashboard --------------------------------------------------------


def test_the_composite_alarm_is_over_all_of_them(template: Json) -> None:
    composite = one(template, _COMPOSITE)
    assert composite["AlarmName"] == "iot-pipeline-health-qa7"
    rule = plain(composite["AlarmRule"])
    assert rule.strip("()").split(" OR ") == [
        f'ALARM("${{{alarm}.Arn}}"' + (")" if number < 19 else "")
        for number, alarm in enumerate(_in_order(template))
    ]


def _in_order(template: Json) -> list[str]:
    """The alarms' logical ids in the order of _COMPLETE, which is the way of a record."""
    ids = {
        body["Properties"]["AlarmName"].removesuffix("-qa7"): logical_id
        for logical_id, body in resources(template, _ALARM).items()
    }
    return [ids[name] for name in _COMPLETE]


def _widgets(template: Json) -> list[Json]:
    dashboard = one(template, _DASHBOARD)
    widgets: list[Json] = json.loads(plain(dashboard["DashboardBody"]))["widgets"]
    return widgets


def test_the_dashboard_shows_every_alarm(template: Json) -> None:
    assert one(template, _DASHBOARD)["DashboardName"] == "iot-pipeline-qa7"
    states, *rest = _widgets(template)
    arns = [f"${{{alarm}.Arn}}" for alarm in _in_order(template)]
    assert states["type"] == "alarm"
    assert states["properties"] == {"title": "Alarms", "alarms": arns}
    assert (states["width"], states["height"]) == (24, 4)
    graphs = [widget for widget in rest if widget["type"] == "metric"]
    assert [widget["properties"]["annotations"]["alarms"] for widget in graphs] == [
        [arn] for arn in arns
    ]
    assert {(widget["width"], widget["height"]) for widget in graphs} == {(8, 5)}


def test_the_dashboard_has_a_heading_for_every_part(template: Json) -> None:
    headings = [widget for widget in _widgets(template) if widget["type"] == "text"]
    assert [widget["properties"]["markdown"] for widget in headings] == [
        "## Stream",
        "## Processor",
        "## Dead letters",
        "## Time series table",
        "## Device state table",
        "## IoT rule",
        "## Archive",
    ]
    assert {(widget["width"], widget["height"]) for widget in headings} == {(24, 1)}


def test_no_two_widgets_lie_on_each_other(template: Json) -> None:
    cells = [
        (x, y)
        for w in _widgets(template)
        for x in range(w["x"], w["x"] + w["width"])
        for y in range(w["y"], w["y"] + w["height"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23


def test_a_part_without_alarms_does_not_break_the_dashboard() -> None:
    stack = fresh_stack()
    PipelineAlarms(
        stack,
        "Alarms",
        stream=MonitoredStream(stack, "Stream"),
        device_state_table=DeviceStateTable(stack, "State"),
        thresholds=AlarmThresholds(table_read_throttles=None, table_write_throttles=None),
    )
    template = template_of(stack)
    assert len(_alarms(template)) == 3
    assert len([w for w in _widgets(template) if w["type"] == "metric"]) == 3


# --- any part, of any kind ------------------------------------------------------------------------


def _processor(stack: cdk.Stack, **settings: Any) -> StreamProcessor:
    stream = kinesis.Stream(stack, "Source")
    return StreamProcessor(
        stack, "Processor", stream=stream, code=inline_code(), handler="index.handler", **settings
    )


def test_a_processor_alone() -> None:
    stack = fresh_stack()
    PipelineAlarms(stack, "Alarms", processor=_processor(stack))
    names = {name.removeprefix("iot-").removesuffix("-dev") for name in _alarms(template_of(stack))}
    assert names == {
        name for name in map(_short, _COMPLETE) if name.startswith(("lambda-", "sns-"))
    }


def _short(name: str) -> str:
    return name.removeprefix("iot-")


def test_with_a_dlq_topic_of_the_caller_what_is_published_is_watched() -> None:
    stack = fresh_stack()
    topic = sns.Topic(stack, "Dlq")
    PipelineAlarms(stack, "Alarms", processor=_processor(stack, dlq_topic=topic))
    template = template_of(stack)
    assert _check_that_aws_emits(template) == 11
    alarm = _alarms(template)["iot-lambda-dlq-messages-dev"]
    assert (alarm["MetricName"], alarm["Statistic"]) == ("NumberOfMessagesPublished", "Sum")
    assert "queue" not in alarm["AlarmDescription"].split(" First: ")[0]  # nobody knows of one
    assert alarm["Period"] == 300
    assert alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0].startswith("Dlq")


def test_a_plain_stream_gets_the_same_alarms() -> None:
    stack = fresh_stack()
    stream = kinesis.Stream.from_stream_arn(stack, "Own", cdk.Fn.import_value("stream-arn"))
    PipelineAlarms(
        stack, "Alarms", stream=stream, alarm_name_prefix="fleet", environment_suffix="green"
    )
    template = template_of(stack)
    assert set(_alarms(template)) == {
        "fleet-kinesis-iterator-age-green",
        "fleet-kinesis-write-throttling-green",
        "fleet-kinesis-read-throttling-green",
    }
    assert _check_that_aws_emits(template) == 3


def test_plain_tables_get_the_same_alarms() -> None:
    stack = fresh_stack()
    name = cdk.Fn.import_value("table-name")
    key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
    PipelineAlarms(
        stack,
        "Alarms",
        time_series_table=dynamodb.Table.from_table_name(stack, "Readings", name),
        device_state_table=dynamodb.Table(stack, "State", partition_key=key),
    )
    template = template_of(stack)
    assert _check_that_aws_emits(template) == 4
    alarm = _alarms(template)["iot-dynamodb-metrics-throttling-dev"]
    assert "table-name" in json.dumps(alarm["Dimensions"])


def test_what_it_made_can_be_reached() -> None:
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Stream")
    limits = AlarmThresholds(dlq_messages=4)
    alarms = PipelineAlarms(stack, "Alarms", stream=stream, thresholds=limits)
    assert alarms.alarms == stream.alarms
    assert alarms.thresholds is limits
    assert (
        PipelineAlarms(
            stack,
            "Other",
            stream=stream,
            alert_topic_name="b",
            composite_alarm_name="b",
            dashboard_name="b",
        ).thresholds
        == AlarmThresholds()
    )


# --- two pipelines --------------------------------------------------------------------------------


def _second(stack: cdk.Stack, prefix: str, stem: str | None) -> PipelineAlarms:
    named = f"{stem}-" if stem is not None else ""
    stream = MonitoredStream(
        stack, "Stream2", stream_name=f"{named}stream", alarm_name_prefix=prefix
    )
    processor = StreamProcessor(
        stack,
        "Processor2",
        stream=stream,
        code=inline_code(),
        handler="index.handler",
        function_name=f"{named}processor",
        dlq_name=f"{named}dlq",
    )
    return PipelineAlarms(
        stack,
        "Alarms2",
        stream=stream,
        processor=processor,
        time_series_table=TimeSeriesTable(stack, "Readings2", table_name=f"{named}readings"),
        device_state_table=DeviceStateTable(stack, "State2", table_name=f"{named}states"),
        rule=TelemetryRule(
            stack, "Rule2", stream=stream, dlq_topic=processor.dlq_topic, rule_name="lorries"
        ),
        archive=StreamArchive(
            stack,
            "Archive2",
            stream=stream,
            bucket=SecureDataBucket(stack, "Data2", bucket_name=f"{named}data"),
            archive_name=f"{named}archive",
            alarm_name_prefix=prefix,
        ),
        alarm_name_prefix=prefix,
        alert_topic_name=f"{named}alerts",
        composite_alarm_name=f"{named}health",
        dashboard_name=f"{named}all",
    )


def test_two_pipelines_in_one_stack() -> None:
    stack = fresh_stack()
    WholePipeline(stack)
    _second(stack, "fleet", "fleet")
    template = template_of(stack)
    names = set(_alarms(template))
    assert names == {
        f"{prefix}-{_short(name)}-dev" for prefix in ("iot", "fleet") for name in _COMPLETE
    }
    assert _check_that_aws_emits(template) == 40
    composites = resources(template, _COMPOSITE).values()
    assert {c["Properties"]["AlarmName"] for c in composites} == {
        "iot-pipeline-health-dev",
        "fleet-health-dev",
    }
    dashboards = resources(template, _DASHBOARD).values()
    assert {d["Properties"]["DashboardName"] for d in dashboards} == {
        "iot-pipeline-dev",
        "fleet-all-dev",
    }
    topics = resources(template, _TOPIC).values()
    assert {t["Properties"]["TopicName"] for t in topics} == {
        "iot-pipeline-alerts-dev",
        "iot-pipeline-dlq-dev",
        "fleet-alerts-dev",
        "fleet-dlq-dev",
    }


def test_two_pipelines_under_one_prefix_are_refused() -> None:
    stack = fresh_stack()
    WholePipeline(stack)
    with pytest.raises(ValueError, match="give one of them another name stem") as refusal:
        _second(stack, "iot", "fleet")
    assert "CloudWatch alarm name 'iot-kinesis-iterator-age-dev'" in str(refusal.value)


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        ({}, "SNS topic name 'iot-pipeline-alerts-dev'"),
        ({"alert_topic_name": "b"}, "CloudWatch alarm name 'iot-pipeline-health-dev'"),
        (
            {"alert_topic_name": "b", "composite_alarm_name": "b"},
            "CloudWatch dashboard name 'iot-pipeline-dev'",
        ),
    ],
)
def test_a_second_set_over_the_same_parts_needs_names(names: dict[str, Any], taken: str) -> None:
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Stream")
    PipelineAlarms(stack, "A", stream=stream)
    with pytest.raises(ValueError, match="give one of them another name stem") as refusal:
        PipelineAlarms(stack, "B", stream=stream, **names)
    for part in (taken, "'Test/A'", "'Test/B'"):
        assert part in str(refusal.value)


# --- refusals -------------------------------------------------------------------------------------


def test_nothing_to_watch_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to watch: pass at least one of stream"):
        PipelineAlarms(fresh_stack(), "Alarms")


def test_a_pipeline_whose_alarms_are_all_off_is_refused() -> None:
    stack = fresh_stack()
    limits = AlarmThresholds(table_read_throttles=None, table_write_throttles=None)
    table = DeviceStateTable(stack, "State")
    with pytest.raises(ValueError, match="nothing to watch"):
        PipelineAlarms(stack, "Alarms", device_state_table=table, thresholds=limits)


def test_a_fifo_topic_is_refused() -> None:
    stack = fresh_stack()
    stream = MonitoredStream(stack, "Stream")
    topic = sns.Topic(stack, "Queueing", fifo=True)
    with pytest.raises(ValueError, match="pass a topic without fifo=True") as refusal:
        PipelineAlarms(stack, "Alarms", stream=stream, alert_topic=topic)
    assert "alert_topic='Test/Queueing' is a FIFO topic" in str(refusal.value)


@pytest.mark.parametrize("setting", ["alert_topic_name", "encryption_key"])
def test_an_alert_topic_takes_no_settings(setting: str) -> None:
    stack = fresh_stack()
    value = "mine" if setting == "alert_topic_name" else kms.Key(stack, "Key")
    arguments: dict[str, Any] = {setting: value}
    with pytest.raises(ValueError, match="has its name and key; leave them out") as refusal:
        PipelineAlarms(
            stack,
            "Alarms",
            stream=MonitoredStream(stack, "Stream"),
            alert_topic=sns.Topic(stack, "Own"),
            **arguments,
        )
    assert f"alert_topic was given together with {setting}={value!r}" in str(refusal.value)


@pytest.mark.parametrize(
    ("arguments", "value", "fix"),
    [
        ({"alert_topic_name": ""}, "SNS topic name stem is empty", "leave the argument out"),
        ({"alert_topic_name": "a.b"}, "'a.b' has '.'", "AWS allows a-zA-Z0-9_-"),
        ({"alert_topic_name": "x" * 253}, "257 characters and AWS allows 256", "by 1"),
        ({"composite_alarm_name": "x" * 252}, "256 characters and AWS allows 255", "by 1"),
        ({"dashboard_name": "a.b"}, "'a.b' has '.'", "AWS allows a-zA-Z0-9_-"),
        ({"alarm_name_prefix": "a b"}, "has ' '", "AWS allows a-zA-Z0-9_.-"),
    ],
)
def test_what_it_refuses_names_the_value_and_the_fix(
    arguments: dict[str, Any], value: str, fix: str
) -> None:
    stack = fresh_stack()
    with pytest.raises(ValueError, match=re.escape(value)) as refusal:
        PipelineAlarms(
            stack, "Alarms", device_state_table=DeviceStateTable(stack, "State"), **arguments
        )
    assert fix in str(refusal.value)


def test_the_topic_keeps_the_name_it_was_given() -> None:
    stack = fresh_stack()
    PipelineAlarms(
        stack,
        "Alarms",
        stream=MonitoredStream(stack, "Stream"),
        alert_topic_name="fleet-alerts",
        composite_alarm_name="fleet-health",
        dashboard_name="fleet",
        environment_suffix="green",
    )
    template = template_of(stack)
    assert one_resource(template, _TOPIC)["Properties"]["TopicName"] == "fleet-alerts-green"
    assert one(template, _COMPOSITE)["AlarmName"] == "fleet-health-green"
    assert one(template, _DASHBOARD)["DashboardName"] == "fleet-green"


def test_a_stream_of_the_callers_is_watched_and_none_is_made_beside_it() -> None:
    stack = fresh_stack("dev")
    PipelineAlarms(stack, "Alarms", stream=kinesis.Stream(stack, "Plain"))
    template = template_of(stack)
    (stream,) = resources(template, "AWS::Kinesis::Stream")
    watched = [
        alarm["Properties"]["Dimensions"]
        for alarm in resources(template, "AWS::CloudWatch::Alarm").values()
        if alarm["Properties"].get("Namespace") == "AWS/Kinesis"
    ]
    assert len(watched) == 3
    assert all(each == [{"Name": "StreamName", "Value": {"Ref": stream}}] for each in watched)


@pytest.mark.parametrize(("periods", "words"), [(1, ""), (2, ", 2 times in a row")])
def test_a_description_says_how_often_in_a_row(periods: int, words: str) -> None:
    stack = fresh_stack("dev")
    create_alarm(
        stack,
        "Alarm",
        name="test",
        suffix=stack.environment_suffix,
        metric=kinesis.Stream(stack, "Stream").metric_put_record_success(),
        threshold=7,
        what="It happened.",
        cost="It costs.",
        first="look.",
        periods=periods,
    )
    description = one(template_of(stack), "AWS::CloudWatch::Alarm")["AlarmDescription"]
    expected = f"It happened. It costs. Fires at 7 in 5 minutes{words}. First: look."
    assert description == expected
