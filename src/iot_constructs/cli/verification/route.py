"""Finds the way of a message through the deployed parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from iot_constructs.cli.verification import parts
from iot_constructs.cli.verification.messages import Archive, Route, topic_of
from iot_constructs.cli.verification.stacks import Clients, Deployed, Resource

# firehose/latest/APIReference/API_BufferingHints.html
_DEFAULT_INTERVAL_SECONDS = 300


class NoRouteError(ValueError):
    """No message can be published; the text says why."""


def find_route(
    clients: Clients, deployed: Deployed, device_id: str, rule_name: str | None
) -> Route:
    """Return the route of the messages of a device.

    The calls return names and ARNs in place of references to other stacks, so the route is read from the deployed
    rule and mapping, not from the templates.

    Raises:
        NoRouteError: the stacks have no rule with a Kinesis action, or several, or none of that name; or the rule or
            the mapping is disabled.
        NoTopicError: the rule has no topic of its own for a device.
    """
    rule = _choose_rule(deployed, rule_name)
    payload = clients.create("iot").get_topic_rule(ruleName=rule)["rule"]
    if payload.get("ruleDisabled"):
        raise NoRouteError(f"rule {rule} is disabled, as in its template")
    actions = [action["kinesis"] for action in payload["actions"] if "kinesis" in action]
    if len(actions) != 1:
        raise NoRouteError(f"rule {rule} has {len(actions)} Kinesis actions, not 1")
    partition_key = actions[0].get("partitionKey", "")
    topic = topic_of(rule, payload["sql"], partition_key, device_id)
    stream = actions[0]["streamName"]
    mappings = _mappings(clients, deployed, stream)
    functions = [deployed.find(mapping["FunctionArn"], parts.FUNCTION) for mapping in mappings]
    topics = [payload.get("errorAction", {}).get("sns", {}).get("targetArn")]
    topics += [
        mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        for mapping in mappings
    ]
    return Route(
        rule=rule,
        topic=topic,
        stream=stream,
        key_is_device_id="topic(" in partition_key,
        mapping=mappings[0]["UUID"] if mappings else None,
        time_series=_table(deployed, parts.TIME_SERIES_KEYS, functions),
        device_state=_table(deployed, parts.DEVICE_STATE_KEYS, functions),
        queue_url=_queue_url(clients, deployed, [each for each in topics if each]),
        archive=_archive(deployed, stream),
    )


def _choose_rule(deployed: Deployed, name: str | None) -> str:
    names = [rule.physical_id for rule in deployed.of(parts.RULE)]
    if name is not None:
        names = [each for each in names if each == name]
    if len(names) == 1:
        return names[0]
    if name is not None:
        raise NoRouteError(f"the stacks have no rule {name}")
    found = f"the rules {', '.join(names)}; choose one with --rule" if names else "no rule"
    raise NoRouteError(f"the stacks have {found}")


def _mappings(clients: Clients, deployed: Deployed, stream: str) -> list[dict[str, Any]]:
    """Return the event source mappings of a stream."""
    client = clients.create("lambda")
    found = [
        client.get_event_source_mapping(UUID=each.physical_id)
        for each in deployed.of(parts.MAPPING)
    ]
    mappings = [each for each in found if each.get("EventSourceArn", "").endswith(f"/{stream}")]
    if any(each["State"] == "Disabled" for each in mappings):
        raise NoRouteError("the event source mapping is disabled, as in its template")
    return mappings


def _table(
    deployed: Deployed, keys: Sequence[str], functions: Sequence[Resource | None]
) -> str | None:
    """Return the table with these keys; of several, the one that a function has in its environment."""
    named = parts.tables_with_keys(deployed, keys)
    if len(named) > 1:
        named = [each for each in named if any(_uses(function, each) for function in functions)]
    return named[0].physical_id if len(named) == 1 else None


def _uses(function: Resource | None, table: Resource) -> bool:
    if function is None:
        return False
    variables = (function.properties.get("Environment") or {}).get("Variables") or {}
    return any(value in (table.reference, table.physical_id) for value in variables.values())


def _queue_url(clients: Clients, deployed: Deployed, targets: Sequence[str]) -> str | None:
    """Return the queue that receives failures, directly or from their topic."""
    queues = [target for target in targets if ":sqs:" in target]
    sns = clients.create("sns")
    for topic in dict.fromkeys(target for target in targets if ":sns:" in target):
        pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        queues += [
            each["Endpoint"]
            for page in pages
            for each in page["Subscriptions"]
            if each["Protocol"] == "sqs"
        ]
    found = [deployed.find(arn, parts.QUEUE) for arn in queues]
    # Receiving counts towards the maximum of a queue with a redrive policy: such a queue is left alone.
    urls = [
        each.physical_id
        for each in found
        if each is not None and "RedrivePolicy" not in each.properties
    ]
    return urls[0] if urls else None


def _archive(deployed: Deployed, stream: str) -> Archive | None:
    for each in deployed.of(parts.DELIVERY_STREAM):
        source = (each.properties.get("KinesisStreamSourceConfiguration") or {}).get(
            "KinesisStreamARN"
        )
        read = deployed.find(source, parts.STREAM)
        settings = each.properties.get("ExtendedS3DestinationConfiguration")
        if read is None or read.physical_id != stream or not settings:
            continue
        bucket = deployed.find(settings["BucketARN"], parts.BUCKET)
        if bucket is None:
            continue
        hints = settings.get("BufferingHints") or {}
        conversion = settings.get("DataFormatConversionConfiguration") or {}
        readable = settings.get("CompressionFormat", "UNCOMPRESSED") in ("GZIP", "UNCOMPRESSED")
        unreadable = None
        if conversion.get("Enabled"):
            unreadable = "its objects are in a column format"
        elif not readable:
            unreadable = f"its objects are compressed with {settings['CompressionFormat']}"
        interval = int(hints.get("IntervalInSeconds", _DEFAULT_INTERVAL_SECONDS))
        return Archive(
            each.physical_id, bucket.physical_id, settings.get("Prefix") or "", interval, unreadable
        )
    return None
