"""Sets one alarm to ALARM and follows its message to a temporary subscription of the alarm topic."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from iot_constructs.cli.verification.findings import Finding, Status
from iot_constructs.cli.verification.parts import ALARM, DOCS, TOPIC
from iot_constructs.cli.verification.stacks import Clients, Deployed

_PAGE = f"{DOCS}sns/latest/dg/sns-key-management.html"


def page(
    clients: Clients,
    deployed: Deployed,
    name: str,
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Finding]:
    """Follow the message of the first alarm that is not in ALARM.

    The subscribers of the topic get the messages as well. The alarm returns to its state at the end, and CloudWatch
    evaluates it again in any case
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_SetAlarmState.html).

    Args:
        clients: creates the clients.
        deployed: the stacks.
        name: the name of the temporary queue.
        seconds: how long to wait for the message.
        clock: returns seconds.
    """
    cloudwatch = clients.create("cloudwatch")
    found = _choose(cloudwatch, deployed)
    if found is None:
        yield Finding(
            "page",
            "",
            "message",
            Status.SKIPPED,
            "no alarm outside of ALARM notifies a topic of the stacks",
        )
        return
    alarm, topic = found
    sqs, sns = clients.create("sqs"), clients.create("sns")
    queue = sqs.create_queue(QueueName=name, Attributes={"Policy": _policy(topic, name)})[
        "QueueUrl"
    ]
    subscription = None
    try:
        arn = _queue_arn(topic, name)
        subscription = sns.subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True
        )
        _set_state(cloudwatch, alarm, "ALARM", "iot-constructs verify --page")
        try:
            arrived = _wait(sqs, queue, alarm["AlarmName"], clock() + seconds, clock)
        finally:
            _set_state(
                cloudwatch, alarm, alarm["StateValue"], "end of iot-constructs verify --page"
            )
    finally:
        if subscription is not None:
            sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        sqs.delete_queue(QueueUrl=queue)
    text = (
        f"its message through {topic} arrived"
        if arrived
        else f"no message through {topic} in {seconds:.0f} s"
    )
    status = Status.PASS if arrived else Status.FAIL
    cause = (
        "the policy of the topic or of its key does not let CloudWatch publish"
        if not arrived
        else ""
    )
    yield Finding(
        "page", alarm["AlarmName"], "message", status, text, cause, "" if arrived else _PAGE
    )


def _choose(cloudwatch: Any, deployed: Deployed) -> tuple[Mapping[str, Any], str] | None:
    for resource in deployed.of(ALARM):
        alarms = cloudwatch.describe_alarms(AlarmNames=[resource.physical_id])["MetricAlarms"]
        for alarm in alarms:
            topics = [each for each in alarm["AlarmActions"] if deployed.find(each, TOPIC)]
            if topics and alarm["ActionsEnabled"] and alarm["StateValue"] != "ALARM":
                return alarm, topics[0]
    return None


def _queue_arn(topic: str, name: str) -> str:
    _, partition, _, region, account, _ = topic.split(":")
    return f"arn:{partition}:sqs:{region}:{account}:{name}"


def _policy(topic: str, name: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": _queue_arn(topic, name),
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _set_state(cloudwatch: Any, alarm: Mapping[str, Any], state: str, reason: str) -> None:
    cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue=state, StateReason=reason)


def _wait(sqs: Any, queue: str, alarm: str, deadline: float, clock: Callable[[], float]) -> bool:
    while True:
        response = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=10)
        # The queue belongs to this run, so nothing of it has to be kept.
        if any(alarm in message["Body"] for message in response.get("Messages", [])):
            return True
        if clock() >= deadline:
            return False
