"""PipelineAlarms: every alarm can get data, reaches its topic, and says what to do.

The alarms stand in one table (``_alarms``), their thresholds in AlarmThresholds, and what AWS publishes in
``e2e/alarm_data``: the tests compare these three and list no alarm themselves.
"""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any, cast

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_sns_subscriptions import EmailSubscription

from iot_constructs import (
    AlarmActions,
    AlarmThresholds,
    DeviceStateTable,
    PipelineAlarms,
    Severity,
    StreamProcessor,
    SuffixedStack,
    TimeSeriesTable,
    _alarms,
    monitoring,
)
from iot_constructs import _defaults as defaults
from iot_constructs._alarms import AlarmSpec
from iot_constructs.rules.metric_catalogue import emitted
from tests.alarm_evaluator import alarm_metrics, alarm_period, metrics_with_dimensions
from tests.e2e.alarm_data import INCIDENTS
from tests.synth_support import (
    ENV,
    Json,
    WholePipeline,
    fresh_app,
    fresh_stack,
    inline_code,
    one,
    plain,
    resources,
    template_of,
)

_ALARM = "AWS::CloudWatch::Alarm"
_COMPOSITE = "AWS::CloudWatch::CompositeAlarm"
_DASHBOARD = "AWS::CloudWatch::Dashboard"
_TOPIC = "AWS::SNS::Topic"

_ROWS = [
    row
    for value in (*vars(_alarms).values(), *vars(monitoring).values())
    for row in (value if isinstance(value, tuple) else (value,))
    if isinstance(row, AlarmSpec)
]
_ROW = {row.name: row for row in _ROWS}
_OTHER_PERIODS = {"lambda-unprocessed-records": defaults.UNPROCESSED_PERIOD_MINUTES}
_FIELDS = [field.name for field in dataclasses.fields(AlarmThresholds)]
_TOPIC_ARN = "arn:aws:sns:eu-central-1:123456789012:given"


def _threshold(field: str, number: int) -> Any:
    """A value for a field, another one for each number."""
    if field == "processing_delay":
        return cdk.Duration.minutes(number)
    return number / 100 if field == "processor_duration_share" else number


@dataclasses.dataclass(frozen=True)
class _Synthesized:
    parts: WholePipeline
    template: Json
    period: int
    """In minutes."""
    matched: cloudwatch.Metric
    """A metric without an alarm."""

    @property
    def alarms(self) -> dict[str, Json]:
        return _by_name(self.template)


def _by_name(template: Json) -> dict[str, Json]:
    """The properties of every alarm, by its name without prefix and suffix."""
    return {
        alarm["Properties"]["AlarmName"].split("-", 1)[1].rpartition("-")[0]: alarm["Properties"]
        for alarm in resources(template, _ALARM).values()
    }


@pytest.fixture(scope="module")
def default() -> _Synthesized:
    stack = fresh_stack("qa7")
    parts = WholePipeline(stack)
    period = defaults.ALARM_PERIOD_MINUTES
    return _Synthesized(parts, template_of(stack), period, parts.rule.metric_matched())


@pytest.fixture(scope="module")
def custom() -> _Synthesized:
    """Other thresholds and another period: the default one is CDK's, so nobody would miss it."""
    values = {field: _threshold(field, 3 + number) for number, field in enumerate(_FIELDS)}
    stack = fresh_stack("qa7")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(defaults, "ALARM_PERIOD_MINUTES", 10)
        _alarms.period.cache_clear()
        parts = WholePipeline(stack, thresholds=AlarmThresholds(**values))
        matched = parts.rule.metric_matched()
    _alarms.period.cache_clear()
    return _Synthesized(parts, template_of(stack), 10, matched)


@pytest.fixture(params=["default", "custom"])
def pipeline(request: pytest.FixtureRequest) -> _Synthesized:
    return cast(_Synthesized, request.getfixturevalue(request.param))


def _watch(stack: cdk.Stack, **settings: Any) -> PipelineAlarms:
    """The smallest there is: two alarms on a table."""
    table = dynamodb.Table.from_table_name(stack, "Readings", "readings")
    return PipelineAlarms(stack, "Alarms", **{"time_series_table": table, **settings})


def _processor(stack: cdk.Stack, **settings: Any) -> StreamProcessor:
    return StreamProcessor(
        stack,
        "Processor",
        stream=kinesis.Stream(stack, "Source"),
        code=inline_code(),
        handler="index.handler",
        **settings,
    )


def _warnings(stack: cdk.Stack) -> list[str]:
    found = assertions.Annotations.from_stack(stack).find_warning("*", assertions.Match.any_value())
    return [str(entry.entry.data) for entry in found]


# --- what each alarm is on


def test_every_alarm_of_the_table_is_created_and_can_be_tested(default: _Synthesized) -> None:
    assert set(default.alarms) == set(_ROW)
    assert {f"{defaults.NAME_PREFIX}-{name}" for name in _ROW} == set(INCIDENTS)
    assert {row.threshold for row in _ROWS} == {"", *_FIELDS}


@pytest.mark.parametrize("name", INCIDENTS)
def test_aws_emits_what_an_alarm_is_on(default: _Synthesized, name: str) -> None:
    published = INCIDENTS[name]
    known = emitted(published.namespace, published.metric)
    assert known is not None
    assert known.has([published.dimension, *published.more]), known.page
    alarm = default.alarms[name.split("-", 1)[1]]
    key = (published.namespace, published.metric)
    assert key in alarm_metrics(alarm)
    for metric, statistic in metrics_with_dimensions(alarm):
        if (metric["Namespace"], metric["MetricName"]) == key:
            name_of = default.parts.watched()[published.resource]
            assert metric["Dimensions"] == [{"Name": published.dimension, "Value": name_of}]
            # An age, or the length of a queue, is not added up.
            adds_up = published.unit == "Count" and not published.metric.startswith("Approximate")
            assert statistic == ("Sum" if adds_up else "Maximum")


def test_every_alarm_fires_at_its_threshold_and_not_without_data(pipeline: _Synthesized) -> None:
    function = cast(lambda_.Function, pipeline.parts.processor.function)
    assert function.timeout is not None
    for name, alarm in pipeline.alarms.items():
        row = _ROW[name]
        minutes = _OTHER_PERIODS.get(name, pipeline.period)
        assert alarm_period(alarm) == minutes * 60, name
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold", name
        assert alarm["TreatMissingData"] == "notBreaching", name
        assert alarm["EvaluationPeriods"] == alarm["DatapointsToAlarm"] == row.evaluation_periods
        if row.threshold:  # the others are in the tests of streams and archive
            value = getattr(pipeline.parts.alarms.thresholds, row.threshold)
            if row.threshold == "processing_delay":
                value = value.to_milliseconds()
            if row.threshold == "processor_duration_share":
                value *= function.timeout.to_milliseconds()
            assert alarm["Threshold"] == value, name


def test_other_metrics_have_the_same_period_and_those_of_the_mapping_are_on(
    pipeline: _Synthesized,
) -> None:
    assert pipeline.matched.period.to_minutes() == pipeline.period
    mapping = one(pipeline.template, "AWS::Lambda::EventSourceMapping")
    assert mapping["MetricsConfig"] == {"Metrics": ["EventCount"]}  # else there is no data


# --- what it tells

_FIRES = re.compile(
    r"(?P<story>.+\. .+\.) Fires at (?P<number>[\d.]+)(?: (?P<unit>h|minutes|s))?(?: \([^)]+\))?"
    r"(?: in (?P<period>\d+) minutes)?(?:, (?P<times>\d+) times in a row)?\. First: .{15,}\."
)
_SECONDS = {"h": 3600, "minutes": 60, "s": 1}


def test_descriptions_have_impact_threshold_and_runbook(pipeline: _Synthesized) -> None:
    for name, alarm in pipeline.alarms.items():
        text = alarm["AlarmDescription"]
        told = _FIRES.fullmatch(text)
        assert told is not None, text
        unit = INCIDENTS[f"{defaults.NAME_PREFIX}-{name}"].unit
        if unit == "Count":
            period = str(_OTHER_PERIODS.get(name, pipeline.period))
            assert (told["unit"], told["period"]) == (None, period), text
            threshold = float(told["number"])
        else:
            factor = 1000 if unit == "Milliseconds" else 1
            threshold = float(told["number"]) * _SECONDS[told["unit"]] * factor
        assert threshold == pytest.approx(alarm["Threshold"], rel=1e-9), text
        assert int(told["times"] or 1) == alarm["EvaluationPeriods"], text
        assert len(text) <= 1024, text  # PutMetricAlarm


def test_a_derived_threshold_names_its_source(default: _Synthesized) -> None:
    alarms = default.alarms
    for name, source in {
        "kinesis-iterator-age": f"({defaults.ITERATOR_AGE_SHARE_OF_RETENTION} of the retention)",
        "lambda-duration": f"({defaults.DURATION_SHARE_OF_TIMEOUT} of the timeout)",
        "firehose-freshness": f"({defaults.FRESHNESS_INTERVALS} buffering intervals, or",
    }.items():
        assert source in alarms[name]["AlarmDescription"]


# --- thresholds


@pytest.fixture(scope="module")
def unsynthesized() -> WholePipeline:
    return WholePipeline(fresh_stack())


@pytest.mark.parametrize("field", _FIELDS)
def test_none_omits_the_alarms_of_a_field(unsynthesized: WholePipeline, field: str) -> None:
    parts, off = unsynthesized, cast(dict[str, Any], {field: None})
    alarms = PipelineAlarms(
        cdk.Stack.of(parts.alarms),
        f"Without-{field}",
        processor=parts.processor,
        time_series_table=parts.time_series,
        device_state_table=parts.device_state,
        rule=parts.rule,
        thresholds=AlarmThresholds(**off),
        name_prefix=f"n{_FIELDS.index(field)}",
    )
    created = {alarm.node.id for alarm in alarms.alarms}
    assert created == {row.id for row in _ROWS if row.threshold not in ("", field)}


@pytest.mark.parametrize("field", _FIELDS)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (True, TypeError),
        ("1", TypeError),
    ],
)
def test_a_threshold_that_cannot_work(field: str, value: Any, error: type[Exception]) -> None:
    if field == "processing_delay":
        error = TypeError  # no number is a Duration
    with pytest.raises(error, match=field):
        AlarmThresholds(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("processing_delay", cdk.Duration.seconds(0), "would always fire"),
        ("processor_duration_share", 1.01, "above 1"),
    ],
)
def test_a_threshold_out_of_range(field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"{field}=.*{message}.*pass {field}=None"):
        AlarmThresholds(**{field: value})


def test_a_count_may_be_a_token_and_what_is_converted_may_not() -> None:
    stack = fresh_stack()
    token = cdk.CfnParameter(stack, "Limit", type="Number").value_as_number
    with pytest.raises(ValueError, match="processor_duration_share is a token"):
        AlarmThresholds(processor_duration_share=token)
    with pytest.raises(ValueError, match="processing_delay is a token"):
        AlarmThresholds(processing_delay=cdk.Duration.minutes(token))
    _watch(stack, thresholds=AlarmThresholds(table_write_throttles=token))
    alarm = _by_name(template_of(stack))["dynamodb-metrics-throttling"]
    assert alarm["Threshold"] == {"Ref": "Limit"}
    assert "Fires at the threshold set at deployment in " in alarm["AlarmDescription"]


_DELAY = defaults.PROCESSING_DELAY_MINUTES * 60


@pytest.mark.parametrize("age", [60, _DELAY, _DELAY + 1])
def test_the_default_delay_is_below_the_age_at_which_records_are_given_up(age: int) -> None:
    """The processor sees no older record: an alarm on such an age would never fire."""
    stack = fresh_stack()
    _watch(stack, processor=_processor(stack, max_record_age=cdk.Duration.seconds(age)))
    alarm = _by_name(template_of(stack))["lambda-iterator-age"]
    share = defaults.DELAY_SHARE_OF_RECORD_AGE
    assert alarm["Threshold"] == (age * share if age <= _DELAY else _DELAY) * 1000
    assert (f"({share:g} of max_record_age)" in alarm["AlarmDescription"]) is (age <= _DELAY)


def test_a_delay_that_is_never_reached() -> None:
    stack = fresh_stack()
    processor = _processor(stack, max_record_age=cdk.Duration.minutes(20))
    limits = AlarmThresholds(processing_delay=cdk.Duration.minutes(20))
    with pytest.raises(ValueError, match=r"processing_delay of 1200 s is never reached.*1200 s"):
        _watch(stack, processor=processor, thresholds=limits)


# --- resources that are not of this library


def _ids(alarms: PipelineAlarms) -> set[str]:
    return {alarm.node.id for alarm in alarms.alarms}


def _all_on_emitted_metrics(template: Json) -> bool:
    for alarm in resources(template, _ALARM).values():
        for metric, _ in metrics_with_dimensions(alarm["Properties"]):
            known = emitted(metric["Namespace"], metric["MetricName"])
            if known is None or not known.has([each["Name"] for each in metric["Dimensions"]]):
                return False
    return True


def test_plain_resources_of_the_app() -> None:
    stack = fresh_stack()
    queue = sqs.Queue(stack, "Queue")
    key = dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING)
    hours = cdk.Duration.hours(36)
    alarms = PipelineAlarms(
        stack,
        "Alarms",
        stream=kinesis.Stream(stack, "Stream", retention_period=hours),
        processor=lambda_.Function(
            stack,
            "Function",
            code=inline_code(),
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
        ),
        dlq_queue=queue,
        time_series_table=dynamodb.Table(stack, "Readings", partition_key=key),
        device_state_table=dynamodb.TableV2(stack, "State", partition_key=key),
    )
    template = template_of(stack)
    of_ours = {"FreshnessAlarm", "DlqDeliveryFailures"}
    of_ours |= {row.id for row in (*_alarms.MAPPING_ALARMS, *_alarms.RULE_ALARMS)}
    of_ours.add(_alarms.DEVICE_ID_MISMATCHES.id)
    assert _ids(alarms) == {row.id for row in _ROWS} - of_ours
    assert _all_on_emitted_metrics(template)
    by_name = _by_name(template)
    age = by_name["kinesis-iterator-age"]["Threshold"]
    assert age == hours.to_milliseconds() * defaults.ITERATOR_AGE_SHARE_OF_RETENTION
    timeout = defaults.LAMBDA_TIMEOUT_SECONDS * defaults.DURATION_SHARE_OF_TIMEOUT
    assert by_name["lambda-duration"]["Threshold"] == pytest.approx(timeout * 1000)
    for name in ("kinesis-write-throttling", "kinesis-read-throttling"):
        assert by_name[name]["Threshold"] == defaults.STREAM_THROTTLES
    (dimension,) = by_name["lambda-dlq-messages"]["Dimensions"]
    assert dimension["Value"] == stack.resolve(queue.queue_name)


def test_imported_resources() -> None:
    stack = fresh_stack()
    name = cdk.Fn.import_value
    arn = f"arn:aws:sqs:{ENV.region}:{ENV.account}:dlq"
    alarms = PipelineAlarms(
        stack,
        "Alarms",
        stream=kinesis.Stream.from_stream_arn(stack, "Stream", name("stream-arn")),
        processor=lambda_.Function.from_function_name(stack, "Function", name("function-name")),
        dlq_queue=sqs.Queue.from_queue_arn(stack, "Queue", arn),
        time_series_table=dynamodb.TableV2.from_table_name(stack, "Readings", name("table-name")),
    )
    template = template_of(stack)
    state = {row.id for row in monitoring._DEVICE_STATE_TABLE}
    assert (
        _ids(alarms)
        == {
            row.id
            for row in (
                *(_alarms.ITERATOR_AGE, _alarms.WRITE_THROTTLES, _alarms.READ_THROTTLES),
                *(row for row in _alarms.FUNCTION_ALARMS if row.id != "ProcessorDuration"),
                _alarms.DLQ_MESSAGES,
                *monitoring._TIME_SERIES_TABLE,
            )
        }
        - state
    )
    assert _all_on_emitted_metrics(template)
    by_name = _by_name(template)
    hours = defaults.STREAM_MINIMUM_RETENTION_HOURS * defaults.ITERATOR_AGE_SHARE_OF_RETENTION
    assert by_name["kinesis-iterator-age"]["Threshold"] == hours * 3_600_000
    for alarm, export in (
        ("kinesis-iterator-age", "stream-arn"),
        ("lambda-errors", "function-name"),
        ("dynamodb-metrics-throttling", "table-name"),
    ):
        ((metric, _),) = metrics_with_dimensions(by_name[alarm])
        assert export in json.dumps(metric["Dimensions"])


def test_the_alias_of_a_function() -> None:
    stack = fresh_stack()
    function = lambda_.Function(
        stack,
        "Function",
        code=inline_code(),
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_13,
    )
    alarms = PipelineAlarms(stack, "Alarms", processor=function.add_alias("live"))
    assert _ids(alarms) == {row.id for row in _alarms.FUNCTION_ALARMS} - {"ProcessorDuration"}
    assert _all_on_emitted_metrics(template_of(stack))


def test_a_mapping_without_metrics_has_no_alarm_on_them() -> None:
    """They could never have data."""
    stack = fresh_stack()
    processor = _processor(stack, metrics_config=lambda_.MetricsConfig(metrics=[]))
    topic = sns.Topic(stack, "Topic")
    alarms = PipelineAlarms(stack, "Alarms", processor=processor, alarm_topic=topic)
    assert _ids(alarms) == {
        *(row.id for row in _alarms.FUNCTION_ALARMS),
        *(_alarms.DLQ_MESSAGES.id, _alarms.DLQ_DELIVERY_FAILURES.id),
    }
    (warning,) = [each for each in _warnings(stack) if "eventCountsOff" in each]
    assert "'Test/Processor' emits no metrics" in warning
    assert "MetricType.EVENT_COUNT" in warning


def test_a_timeout_that_is_a_token() -> None:
    stack = fresh_stack()
    token = cdk.CfnParameter(stack, "Timeout", type="Number").value_as_number
    processor = _processor(stack, timeout=cdk.Duration.seconds(token))
    with pytest.raises(ValueError, match=r"AlarmThresholds\(processor_duration_share=None\)"):
        PipelineAlarms(stack, "Alarms", processor=processor)
    limits = AlarmThresholds(processor_duration_share=None)
    alarms = PipelineAlarms(
        stack, "Others", processor=processor, thresholds=limits, name_prefix="n"
    )
    assert "ProcessorDuration" not in _ids(alarms)


def test_a_dlq_topic_of_the_user() -> None:
    """Nobody knows which queue it delivers to, unless it is named."""
    stack = fresh_stack()
    processor = _processor(stack, dlq_topic=sns.Topic(stack, "Dlq"))
    queue = sqs.Queue(stack, "Queue")
    PipelineAlarms(stack, "Topic", processor=processor)
    PipelineAlarms(stack, "Queued", processor=processor, dlq_queue=queue, name_prefix="n")
    template = template_of(stack)
    assert _all_on_emitted_metrics(template)
    for prefix, metric in (
        (defaults.NAME_PREFIX, "NumberOfMessagesPublished"),
        ("n", "ApproximateNumberOfMessagesVisible"),
    ):
        alarm = one(template, _ALARM, AlarmName=f"{prefix}-lambda-dlq-messages-dev")
        assert alarm["MetricName"] == metric


# --- topics


def _actions(template: Json) -> dict[str, tuple[Any, Any]]:
    """Alarm and OK actions by the alarm's name without prefix and suffix; the composite alarm's included."""
    everything = {**resources(template, _ALARM), **resources(template, _COMPOSITE)}
    found = [body["Properties"] for body in everything.values()]
    return {
        each["AlarmName"].split("-", 1)[1].rpartition("-")[0]: (
            each.get("AlarmActions"),
            each.get("OKActions"),
        )
        for each in found
    }


def _assert_cloudwatch_may_publish(template: Json, topic_id: str) -> None:
    """The topic's policy, and that of its key if it has one, allow it for this account and under no other condition."""
    account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    principal = {"Service": "cloudwatch.amazonaws.com"}
    policies = [
        statement
        for policy in resources(template, "AWS::SNS::TopicPolicy").values()
        if policy["Properties"]["Topics"] == [{"Ref": topic_id}]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Principal"] == principal
    ]
    assert policies == [
        {
            "Sid": "AllowAlarmsToPublish",
            "Effect": "Allow",
            "Principal": principal,
            "Action": "sns:Publish",
            "Resource": {"Ref": topic_id},
            "Condition": account,
        }
    ]
    key = template["Resources"][topic_id]["Properties"].get("KmsMasterKeyId")
    if key is not None:
        statements = template["Resources"][key["Fn::GetAtt"][0]]["Properties"]["KeyPolicy"]
        assert {
            "Effect": "Allow",
            "Principal": principal,
            "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
            "Resource": "*",
            "Condition": account,
        } in statements["Statement"]


def test_every_alarm_notifies_an_encrypted_topic(default: _Synthesized) -> None:
    template = default.template
    topic_id = cdk.Stack.of(default.parts.alarms).get_logical_id(
        cast(cdk.CfnElement, default.parts.alarms.alarm_topic.node.default_child)
    )
    to_topic = ([{"Ref": topic_id}], [{"Ref": topic_id}])
    composite = defaults.COMPOSITE_ALARM_NAME
    assert _actions(template) == dict.fromkeys([*_ROW, composite], to_topic)
    _assert_cloudwatch_may_publish(template, topic_id)
    topic = template["Resources"][topic_id]["Properties"]
    assert topic["TopicName"] == f"{defaults.NAME_PREFIX}-{defaults.ALARM_TOPIC_NAME}-qa7"
    assert topic["KmsMasterKeyId"]
    (deny,) = [
        statement
        for policy in resources(template, "AWS::SNS::TopicPolicy").values()
        if policy["Properties"]["Topics"] == [{"Ref": topic_id}]
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    ]
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(
    ("settings", "alarms", "composite", "returns"),
    [
        ({"alarm_actions": AlarmActions.ALL}, True, True, True),
        ({"alarm_actions": AlarmActions.COMPOSITE_ONLY}, False, True, True),
        ({"alarm_actions": AlarmActions.NONE}, False, False, True),
        ({"notify_ok": False}, True, True, False),
        ({"notify_ok": False, "alarm_actions": AlarmActions.COMPOSITE_ONLY}, False, True, False),
    ],
)
def test_which_alarms_notify(
    settings: dict[str, Any], alarms: bool, composite: bool, returns: bool
) -> None:
    stack = fresh_stack()
    topic = sns.Topic(stack, "Topic")
    made = _watch(stack, alarm_topic=topic, **settings)
    own = cloudwatch.Alarm(
        stack,
        "Own",
        metric=topic.metric("X"),
        threshold=1,
        evaluation_periods=1,
        alarm_name="-own-",
    )
    made.add_alarm(own)
    actions = _actions(template_of(stack))
    target = [stack.resolve(topic.topic_arn)]
    expected = (target, target if returns else None)
    assert actions.pop(defaults.COMPOSITE_ALARM_NAME) == (expected if composite else (None, None))
    assert set(actions) == {"own", *(row.name for row in monitoring._TIME_SERIES_TABLE)}
    assert set(map(str, actions.values())) == {str(expected if alarms else (None, None))}


def test_a_topic_for_each_severity() -> None:
    stack = fresh_stack()
    topic = sns.Topic(stack, "Topic")
    pager = sns.Topic(stack, "Pager", master_key=kms.Key(stack, "Key"))
    parts = WholePipeline(stack)
    made = PipelineAlarms(
        stack,
        "Paged",
        stream=kinesis.Stream(stack, "Other"),
        processor=parts.processor,
        rule=parts.rule,
        alarm_topic=topic,
        severity_topics={Severity.CRITICAL: pager},
        name_prefix="paged",
    )
    for severity in Severity:
        own = cloudwatch.Alarm(
            stack, severity.name, metric=topic.metric("X"), threshold=1, evaluation_periods=1
        )
        made.add_alarm(own, severity=severity)
    template = template_of(stack)
    severities = {f"paged-{row.name}-dev": row.severity for row in _ROWS}
    ids = {stack.resolve(each.alarm_arn)["Fn::GetAtt"][0]: each.node.id for each in made.alarms}
    assert {severities.get(template["Resources"][id]["Properties"].get("AlarmName")) for id in ids}
    for id, name in ids.items():
        alarm = template["Resources"][id]["Properties"]
        severity = severities.get(alarm.get("AlarmName")) or Severity[name]
        target = pager if severity is Severity.CRITICAL else topic
        assert alarm["AlarmActions"] == [stack.resolve(target.topic_arn)], name
    for target in (topic, pager):
        _assert_cloudwatch_may_publish(template, stack.resolve(target.topic_arn)["Ref"])
    health = one(template, _COMPOSITE, AlarmName=f"paged-{defaults.COMPOSITE_ALARM_NAME}-dev")
    assert health["AlarmActions"] == [stack.resolve(topic.topic_arn)]


def test_two_pipelines_share_a_topic() -> None:
    stack = fresh_stack()
    topic = sns.Topic(stack, "Topic")
    _watch(stack, alarm_topic=topic, severity_topics=dict.fromkeys(Severity, topic))
    state = DeviceStateTable(stack, "State")
    PipelineAlarms(stack, "B", device_state_table=state, alarm_topic=topic, name_prefix="b")
    _assert_cloudwatch_may_publish(template_of(stack), stack.resolve(topic.topic_arn)["Ref"])


def test_a_key_of_the_user() -> None:
    stack = fresh_stack()
    key = kms.Key(stack, "Key")
    made = _watch(stack, encryption_key=key)
    template = template_of(stack)
    topic = one(template, _TOPIC)
    assert topic["KmsMasterKeyId"] == stack.resolve(key.key_arn)
    assert len(resources(template, "AWS::KMS::Key")) == 1
    _assert_cloudwatch_may_publish(template, stack.resolve(made.alarm_topic.topic_arn)["Ref"])


@pytest.mark.parametrize("own", [True, False])
def test_subscriptions(own: bool) -> None:
    stack = fresh_stack()
    topic = {"alarm_topic": sns.Topic(stack, "Topic")} if own else {}
    made = _watch(stack, subscriptions=[EmailSubscription("ops@example.com")], **topic)
    subscription = one(template_of(stack), "AWS::SNS::Subscription")
    assert subscription["TopicArn"] == stack.resolve(made.alarm_topic.topic_arn)
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")
    assert _warnings(stack) == []


def _imported(stack: cdk.Stack) -> sns.ITopic:
    return sns.Topic.from_topic_arn(stack, "Given", _TOPIC_ARN)


def _under_managed_key(stack: cdk.Stack) -> sns.ITopic:
    """Whose policy cannot be changed (sns/latest/dg/sns-key-management.html)."""
    key = kms.Alias.from_alias_name(stack, "Key", "alias/aws/sns")
    return sns.Topic(stack, "Given", master_key=key)


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        (lambda _: {}, "iot-constructs:noSubscription"),
        (lambda _: {"alarm_actions": AlarmActions.NONE}, None),
        (lambda stack: {"alarm_topic": sns.Topic(stack, "Given")}, None),
        (
            lambda stack: {"alarm_topic": _imported(stack)},
            "imported alarm_topic.*cloudwatch.amazonaws.com sns:Publish.*iot-constructs:topicPolicyNotChanged",
        ),
        (
            lambda stack: {
                "alarm_actions": AlarmActions.NONE,
                "severity_topics": {Severity.WARNING: _imported(stack)},
            },
            "imported severity_topics.*iot-constructs:topicPolicyNotChanged",
        ),
        (
            lambda stack: {"alarm_topic": _under_managed_key(stack)},
            "iot-constructs:keyPolicyNotChanged",
        ),
    ],
)
def test_an_alarm_that_may_not_arrive_is_a_warning(settings: Any, warning: str | None) -> None:
    stack = fresh_stack()
    _watch(stack, **settings(stack))
    found = _warnings(stack)
    assert len(found) == (warning is not None), found
    assert warning is None or re.search(warning, found[0], re.DOTALL), found


@pytest.mark.parametrize("arn", [None, f"{_TOPIC_ARN}.fifo"])
@pytest.mark.parametrize("keyword", ["alarm_topic", "severity_topics"])
def test_a_fifo_topic(keyword: str, arn: str | None) -> None:
    stack = fresh_stack()
    topic = (
        sns.Topic.from_topic_arn(stack, "Given", arn)
        if arn is not None
        else sns.Topic(stack, "Given", fifo=True)
    )
    given = topic if keyword == "alarm_topic" else {Severity.WARNING: topic}
    with pytest.raises(ValueError, match=f"{keyword}='Test/Given'.*without fifo=True"):
        _watch(stack, **{keyword: given})


# --- composite alarm and dashboard


def _widgets(template: Json, type: str) -> list[Json]:
    body = json.loads(plain(one(template, _DASHBOARD)["DashboardBody"]))
    return [widget for widget in body["widgets"] if widget["type"] == type]


def _arns(alarms: PipelineAlarms) -> list[str]:
    stack = cdk.Stack.of(alarms)
    return [plain(stack.resolve(alarm.alarm_arn)) for alarm in alarms.alarms]


def _composite_of(template: Json) -> list[str]:
    rule = plain(one(template, _COMPOSITE)["AlarmRule"])
    return re.findall(r'ALARM\("([^"]+)"\)', rule) if " AND " not in rule else []


def test_the_composite_alarm_is_over_all_alarms(default: _Synthesized) -> None:
    composite = one(default.template, _COMPOSITE)
    assert _composite_of(default.template) == _arns(default.parts.alarms)
    assert "First: open the dashboard" in composite["AlarmDescription"]


def test_the_dashboard_has_each_alarm_with_its_metric(default: _Synthesized) -> None:
    arns = _arns(default.parts.alarms)
    (states,) = _widgets(default.template, "alarm")
    assert states["properties"]["alarms"] == arns
    graphs = _widgets(default.template, "metric")
    assert [each["properties"]["annotations"]["alarms"] for each in graphs] == [[a] for a in arns]
    headings = [each["properties"]["markdown"] for each in _widgets(default.template, "text")]
    assert len(headings) == len(set(headings)) == 7
    cells = [
        (x, y)
        for each in (states, *graphs, *_widgets(default.template, "text"))
        for x in range(each["x"], each["x"] + each["width"])
        for y in range(each["y"], each["y"] + each["height"])
    ]
    assert len(cells) == len(set(cells))  # no widget covers another
    assert max(x for x, _ in cells) < 24


def test_alarms_of_the_user() -> None:
    stack = fresh_stack()
    made = _watch(stack, subscriptions=[EmailSubscription("ops@example.com")])
    queue = sqs.Queue(stack, "Queue")
    for number, title in enumerate(["Mine", "Mine", "Time series table"]):
        own = cloudwatch.Alarm(
            stack,
            f"Own{number}",
            metric=queue.metric_approximate_age_of_oldest_message(),
            threshold=1,
            evaluation_periods=1,
        )
        made.add_alarm(own, title=title)
        assert own in made.alarms
    template = template_of(stack)
    arns = _arns(made)
    assert len(arns) == len(monitoring._TIME_SERIES_TABLE) + 3
    assert sorted(_composite_of(template)) == sorted(arns)
    graphs = _widgets(template, "metric")
    drawn = [arn for each in graphs for arn in each["properties"]["annotations"]["alarms"]]
    assert sorted(drawn) == sorted(arns)
    below = [
        (each["y"], each["properties"].get("markdown", "graph"))
        for each in (*_widgets(template, "text"), *graphs[-3:])
    ]
    assert [name for _, name in sorted(below)][1:] == [
        *("## Mine", "graph", "graph"),
        *("## Time series table", "graph"),
    ]


# --- names


def test_names_are_those_of_what_is_watched() -> None:
    app = fresh_app()
    data = SuffixedStack(app, "Data", environment_suffix="prod", name_prefix="north")
    monitor = cdk.Stack(app, "Monitor")
    made = PipelineAlarms(monitor, "Alarms", device_state_table=DeviceStateTable(data, "State"))
    assert (made.environment_suffix, made.name_prefix) == (
        data.environment_suffix,
        made.name_prefix,
    )
    template = template_of(monitor)
    names = [
        *(alarm["Properties"]["AlarmName"] for alarm in resources(template, _ALARM).values()),
        one(template, _COMPOSITE)["AlarmName"],
        one(template, _TOPIC)["TopicName"],
        plain(one(template, _DASHBOARD)["DashboardName"]),
    ]
    assert len(names) == 5
    assert [n for n in names if not (n.startswith("north-") and n.endswith("-prod"))] == []


@pytest.mark.parametrize("keyword", ["environment_suffix", "name_prefix"])
def test_resources_of_two_environments_or_pipelines(keyword: str) -> None:
    stack = fresh_stack()
    one_table = DeviceStateTable(stack, "A", **{keyword: "one"})  # type: ignore[arg-type]
    other = TimeSeriesTable(stack, "B", **{keyword: "two"})  # type: ignore[arg-type]
    watched: dict[str, Any] = {"device_state_table": one_table, "time_series_table": other}
    with pytest.raises(ValueError, match=f"{keyword}: .*'two' of 'Test/B'") as error:
        PipelineAlarms(stack, "Alarms", **watched)
    assert "'one' of 'Test/A'" in str(error.value)
    made = PipelineAlarms(stack, "Both", **{**watched, keyword: "three"})
    assert getattr(made, keyword).value == "three"


def test_base_names_of_the_user() -> None:
    stack = fresh_stack("qa7")
    _watch(stack, alarm_topic_name="a", composite_alarm_name="b", dashboard_name="c")
    template = template_of(stack)
    assert one(template, _TOPIC)["TopicName"] == "a-qa7"
    assert one(template, _COMPOSITE)["AlarmName"] == "b-qa7"
    assert plain(one(template, _DASHBOARD)["DashboardName"]) == "c-${AWS::Region}-qa7"


def test_names_left_to_cloudformation() -> None:
    stack = fresh_stack()
    keywords = ("alarm_topic_name", "composite_alarm_name", "dashboard_name")
    _watch(stack, **dict.fromkeys(keywords, cdk.PhysicalName.GENERATE_IF_NEEDED))
    template = template_of(stack)
    assert "TopicName" not in one(template, _TOPIC)
    assert "DashboardName" not in one(template, _DASHBOARD)
    assert "AlarmName" not in one(template, _COMPOSITE)


def test_a_dashboard_of_each_region_of_an_account() -> None:
    """An account has one dashboard of a name for all regions (API_PutDashboard)."""
    app = fresh_app()
    stacks = []
    for region in ("us-east-1", "eu-central-1"):
        env = cdk.Environment(account=ENV.account, region=region)
        stacks.append(fresh_stack("prod", id=region, app=app, env=env))
        _watch(stacks[-1])
    again = fresh_stack("prod", id="Again", app=app, env=env)
    with pytest.raises(ValueError, match=r"dashboard_name: .*'eu-central-1/Alarms'"):
        PipelineAlarms(
            again,
            "Other",
            device_state_table=dynamodb.Table.from_table_name(again, "State", "state"),
            alarm_topic_name="other",
            composite_alarm_name="other",
        )
    for stack in stacks:
        name = f"{defaults.NAME_PREFIX}-{defaults.DASHBOARD_NAME}-{stack.region}-prod"
        assert one(template_of(stack), _DASHBOARD)["DashboardName"] == name


def test_two_pipelines_in_one_stack_differ_by_their_prefix(default: _Synthesized) -> None:
    stack = fresh_stack()
    _watch(stack)
    with pytest.raises(ValueError, match=r"'Test/B'.*'Test/Alarms' already.*name_prefix="):
        PipelineAlarms(stack, "B", device_state_table=DeviceStateTable(stack, "State"))
    PipelineAlarms(
        stack, "C", device_state_table=DeviceStateTable(stack, "State2", name_prefix="south")
    )
    names = {
        body["Properties"]["AlarmName"] for body in resources(template_of(stack), _ALARM).values()
    }
    assert {name.split("-")[0] for name in names} == {defaults.NAME_PREFIX, "south"}


def test_ids_are_kept(default: _Synthesized) -> None:
    """A resource under another id is another resource, which may not have the name of the old one."""
    of_others = {row.id for row in _ROWS if not row.threshold}
    assert {child.node.id for child in default.parts.alarms.node.children} == {
        *("AlarmTopic", "Health", "Dashboard"),
        *({row.id for row in _ROWS} - of_others),
    }
    stack = fresh_stack()
    plain_stream = PipelineAlarms(stack, "Alarms", stream=kinesis.Stream(stack, "Plain"))
    assert {alarm.node.path for alarm in plain_stream.alarms} == {
        f"Test/Alarms/Stream/{id}" for id in of_others - {_alarms.FRESHNESS.id}
    }


# --- refusals

_NAME = "x" * 300


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"time_series_table": None}, "no resource to monitor; pass at least one of stream"),
        (
            {"thresholds": AlarmThresholds(table_read_throttles=None, table_write_throttles=None)},
            "no resource to monitor",
        ),
        ({"alarm_topic_name": ""}, "alarm_topic_name=''"),
        ({"alarm_topic_name": "a.b"}, "alarm_topic_name='a.b': '.' is not allowed"),
        ({"alarm_topic_name": _NAME}, "alarm_topic_name=.*AWS allows 256"),
        ({"composite_alarm_name": _NAME}, "composite_alarm_name=.*AWS allows 255"),
        ({"dashboard_name": "a.b"}, "dashboard_name='a.b': '.' is not allowed"),
        ({"dashboard_name": _NAME}, "dashboard_name=.*AWS allows 255"),
    ],
)
def test_wrong_values(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _watch(fresh_stack(), **settings)


@pytest.mark.parametrize("keyword", ["alarm_topic_name", "encryption_key"])
def test_a_topic_of_the_user_takes_no_settings(keyword: str) -> None:
    stack = fresh_stack()
    value = "mine" if keyword == "alarm_topic_name" else kms.Key(stack, "Key")
    with pytest.raises(ValueError, match=f"alarm_topic excludes {keyword}="):
        _watch(stack, alarm_topic=sns.Topic(stack, "Topic"), **{keyword: value})


def test_thresholds_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        AlarmThresholds().dlq_messages = 2  # type: ignore[misc]
