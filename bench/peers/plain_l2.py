"""The peer "plain L2s": aws-cdk-lib alone, with the three alarms that most people write."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns

from bench.peers.l2_pipeline import L2Pipeline


def build(app: cdk.App) -> cdk.Stack:
    """Adds the stack to ``app``."""
    stack = L2Pipeline(app, "PlainPipeline")
    iterator_age = stack.stream.metric_get_records_iterator_age_milliseconds(statistic="Maximum")
    errors = stack.processor.metric_errors()
    throttles = stack.processor.metric_throttles()
    publish = actions.SnsAction(sns.Topic(stack, "Alerts"))
    for alarm in (
        iterator_age.create_alarm(
            stack, "IteratorAgeAlarm", threshold=60_000, evaluation_periods=3
        ),
        errors.create_alarm(stack, "ErrorsAlarm", threshold=1, evaluation_periods=1),
        throttles.create_alarm(stack, "ThrottlesAlarm", threshold=1, evaluation_periods=1),
    ):
        alarm.add_alarm_action(publish)
    return stack


if __name__ == "__main__":
    app = cdk.App()
    build(app)
    app.synth()
