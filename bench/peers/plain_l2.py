"""The peer "plain L2s": aws-cdk-lib alone, with the three alarms that most people write: ``[STACKS MORE_ALARMS]``."""

from __future__ import annotations

import sys

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns

from bench.peers.l2_pipeline import L2Pipeline

stacks, more_alarms = map(int, sys.argv[1:] or (1, 0))
app = cdk.App()
for number in range(stacks):
    stack = L2Pipeline(app, f"PlainPipeline{number or ''}")
    iterator_age = stack.stream.metric_get_records_iterator_age_milliseconds(statistic="Maximum")
    errors = stack.processor.metric_errors()
    throttles = stack.processor.metric_throttles()
    publish = actions.SnsAction(sns.Topic(stack, "Alerts"))
    for id, metric, threshold, periods in (
        ("IteratorAgeAlarm", iterator_age, 60_000, 3),
        ("ErrorsAlarm", errors, 1, 1),
        ("ThrottlesAlarm", throttles, 1, 1),
        *((f"Alarm{count}", errors, count, 1) for count in range(2, 2 + more_alarms)),
    ):
        alarm = metric.create_alarm(stack, id, threshold=threshold, evaluation_periods=periods)
        alarm.add_alarm_action(publish)
app.synth()
