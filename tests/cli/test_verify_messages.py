"""Where the messages of ``verify`` go, what it sees of them, and that it removes these and no others."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from iot_constructs.cli.verification import messages, parts
from iot_constructs.cli.verification.archived import ArchiveReader, prefixes
from iot_constructs.cli.verification.findings import Status
from iot_constructs.cli.verification.messages import Archive, NoTopicError, Route, Seen, topic_of
from iot_constructs.cli.verification.route import NoRouteError, find_route
from iot_constructs.cli.verification.stacks import Reference, Resource

from .aws_fakes import (
    ACCOUNT,
    NOW,
    QUEUE_URL,
    OnShard,
    async_failure,
    aws_error,
    failed_batch,
    kinesis_event,
)
from .verify_world import (
    BAD,
    DEVICE,
    REGION,
    ROUTE,
    STREAM,
    TOPIC,
    Clients,
    Service,
    World,
    check,
    deployed,
    progress,
    statuses,
    table,
)


@pytest.mark.parametrize(
    ("from_clause", "key", "expected"),
    [
        (" FROM 'device/+/telemetry'", "${topic(2)}", "device/me/telemetry"),
        (" FROM 'device/+/telemetry'", "${newuuid()}", "device/me/telemetry"),
        (" FROM 'plant/+/device/+'", "${topic(4)}", "plant/verify/device/me"),
        (" FROM 'device/#'", "${topic(2)}", "device/me"),
        ("", "${topic(2)}", "$aws/rules/telemetry/verify/me"),
        ("", "${newuuid()}", "$aws/rules/telemetry/me"),
    ],
)
def test_the_device_id_is_where_the_rule_takes_it_from(
    from_clause: str, key: str, expected: str
) -> None:
    assert topic_of("telemetry", f"SELECT *{from_clause} WHERE true", key, "me") == expected


@pytest.mark.parametrize(
    ("sql", "key"),
    [
        ("SELECT * FROM 'device/pump-1/telemetry'", "${topic(2)}"),
        ("SELECT * FROM 'device/+/telemetry'", "${topic(3)}"),
        ("SELECT * FROM 'device/+'", "${topic(4)}"),
        ("SELECT * FROM 'device/pump-1'", "${newuuid()}"),
    ],
)
def test_it_never_publishes_as_an_existing_device(sql: str, key: str) -> None:
    with pytest.raises(NoTopicError):
        topic_of("telemetry", sql, key, "me")


RULE = Resource(parts.RULE, "telemetry", {})
QUEUE = Resource(parts.QUEUE, QUEUE_URL, {})
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE_URL.rsplit('/', 1)[-1]}"
KINESIS_RULE: dict[str, Any] = {
    "sql": "SELECT * FROM 'device/+/telemetry'",
    "actions": [{"kinesis": {"streamName": "readings", "partitionKey": "${topic(2)}"}}],
    "errorAction": {"sns": {"targetArn": TOPIC}},
}


def route_of(
    *resources: Resource,
    rule: str | None = None,
    mapping_state: str = "Enabled",
    rule_disabled: bool = False,
    sql: str = KINESIS_RULE["sql"],
) -> Route:
    deployed_rule = {**KINESIS_RULE, "ruleDisabled": rule_disabled, "sql": sql}
    subscription = {"Protocol": "sqs", "Endpoint": QUEUE_ARN}
    mapping = {
        "UUID": "m",
        "EventSourceArn": "arn:stream/readings",
        "FunctionArn": "arn:function:f",
        "State": mapping_state,
    }
    clients = Clients(
        iot=Service(get_topic_rule={"rule": deployed_rule}),
        lambda_=Service(get_event_source_mapping=mapping),
        sns=Service(list_subscriptions_by_topic={"Subscriptions": [subscription]}),
    )
    return find_route(clients, deployed(*resources), DEVICE, rule)


def test_a_rule_without_a_topic_filter_has_the_messages_of_basic_ingest() -> None:
    assert route_of(RULE, sql="SELECT *").topic == f"$aws/rules/telemetry/verify/{DEVICE}"
    assert route_of(RULE).topic == f"device/{DEVICE}/telemetry"


def with_keys(name: str) -> Resource:
    return replace(table(False), physical_id=name)


def test_the_route_is_read_from_the_deployed_rule() -> None:
    bucket = Resource(parts.BUCKET, "archive", {})
    delivery = {
        "KinesisStreamSourceConfiguration": {"KinesisStreamARN": Reference("readings")},
        "ExtendedS3DestinationConfiguration": {
            "BucketARN": Reference("archive"),
            "Prefix": "telemetry/",
        },
    }
    archive = Resource(parts.DELIVERY_STREAM, "delivery", delivery)
    mapping = Resource(parts.MAPPING, "m", {})
    found = route_of(RULE, QUEUE, STREAM, bucket, archive, mapping, table(False))
    assert found == Route(
        rule="telemetry",
        topic=f"device/{DEVICE}/telemetry",
        stream="readings",
        key_is_device_id=True,
        mapping="m",
        time_series="metrics",
        device_state=None,
        queue_url=QUEUE_URL,
        archive=Archive("delivery", "archive", "telemetry/", 300, None),
    )


def test_of_several_rules_one_is_chosen() -> None:
    other = Resource(parts.RULE, "other", {})
    with pytest.raises(NoRouteError, match="telemetry, other; choose one with --rule"):
        route_of(RULE, other)
    assert route_of(RULE, other, rule="other").rule == "other"
    with pytest.raises(NoRouteError, match="no rule nope"):
        route_of(RULE, rule="nope")
    with pytest.raises(NoRouteError, match="no rule"):
        route_of()


def test_of_several_tables_the_one_of_the_function_is_taken() -> None:
    variables = {"TABLE": Reference("second")}
    function = Resource(parts.FUNCTION, "f", {"Environment": {"Variables": variables}})
    two = [with_keys("first"), with_keys("second")]
    mapping = Resource(parts.MAPPING, "m", {})
    assert route_of(RULE, mapping, function, *two).time_series == "second"
    assert route_of(RULE, mapping, *two).time_series is None


def test_a_part_that_the_template_disables_takes_no_messages() -> None:
    with pytest.raises(NoRouteError, match="rule telemetry is disabled"):
        route_of(RULE, rule_disabled=True)
    with pytest.raises(NoRouteError, match="mapping is disabled"):
        route_of(RULE, Resource(parts.MAPPING, "m", {}), mapping_state="Disabled")


@pytest.mark.parametrize(
    ("enabled", "state", "expected"),
    [
        (None, "Enabled", Status.PASS),
        (True, "Disabled", Status.FAIL),
        (None, "Updating", Status.FAIL),
        (False, "Disabled", Status.PASS),
    ],
)
def test_a_mapping_is_enabled_unless_the_template_says_otherwise(
    enabled: bool | None, state: str, expected: Status
) -> None:
    mapping = Resource(parts.MAPPING, "m", {"Enabled": enabled})
    client = Service(get_event_source_mapping={"State": state})
    found = check("event source mapping", deployed(mapping), lambda_=client)
    assert statuses(found) == [("state", expected)]


def test_a_queue_that_counts_receives_is_left_alone() -> None:
    counted = replace(QUEUE, properties={"RedrivePolicy": {"maxReceiveCount": 3}})
    assert route_of(RULE, counted).queue_url is None


def test_readings_are_marked_and_the_bad_message_is_not_json() -> None:
    world = World()
    world.run({"temperature": 21}).publish()
    assert {each["topic"] for each in world.published} == {ROUTE.topic}
    *readings, bad = [each["payload"] for each in world.published]
    documents = [json.loads(reading) for reading in readings]
    assert [each["deviceId"] for each in documents] == [DEVICE] * 3
    assert [each["temperature"] for each in documents] == [21] * 3
    assert [each["timestamp"] for each in documents] == [int(NOW * 1000) + n for n in range(3)]
    with pytest.raises(ValueError):
        json.loads(bad)
    assert bad.startswith(BAD)


def test_a_reading_has_what_the_processor_requires_but_the_device_and_mark_of_the_run() -> None:
    world = World()
    run = world.run({"timestamp": "2026-01-01", "deviceId": "pump-1", "verify": "x"})
    run.publish()
    reading = json.loads(world.published[0]["payload"])
    assert reading == {
        "timestamp": "2026-01-01",
        "deviceId": DEVICE,
        "verify": f"{DEVICE}/reading-0",
    }


def test_a_throttled_read_of_the_stream_is_repeated() -> None:
    world = World()
    run = world.run()
    run.publish()
    read = world.kinesis.responses["get_records"]
    errors = [aws_error("ProvisionedThroughputExceededException")] * 2
    world.kinesis.responses["get_records"] = lambda **request: (
        errors.pop() if errors else read(**request)
    )
    run.wait(1, progress())
    assert run.seen.on_stream == set(run.marks)


def test_everything_is_seen_and_the_own_items_and_letters_are_removed() -> None:
    world = World()
    run = world.run()
    stranger = world.sqs.add({"kind": "unknown"}, "stranger")
    world.process("pump-1")
    others = [list(each.items) for each in world.tables.values()]
    run.publish()
    world.process()
    run.wait(60, progress())
    assert run.seen == Seen(set(run.marks), 3, True, run.seen.letters, {}, "OK")
    assert len(run.seen.letters) == 1
    assert run.remove()[0] == f"removed of {DEVICE}: items 4, dead letters 1."
    assert [each.items for each in world.tables.values()] == others
    # The other messages are visible, and were deleted by nobody.
    assert set(world.sqs.visible()) == {stranger, "message-000002"}
    assert world.sqs.deleted == ["message-000003"]


def test_the_wait_ends_with_the_last_arrival_or_the_timeout() -> None:
    world = World()
    run = world.run()
    run.publish()
    began = world.clock.now
    run.wait(30, progress())
    assert 30 <= world.clock.now - began < 40
    world.process()
    began = world.clock.now
    run.wait(30, progress())
    assert world.clock.now - began < 10


def test_a_batch_is_removed_only_if_it_is_the_record_of_the_run() -> None:
    world = World()
    run = world.run()
    run.publish()
    world.sqs.add(failed_batch("4", "4", 1), "own")
    world.sqs.add(failed_batch("3", "4", 2), "with-neighbors")
    world.sqs.add(failed_batch("99", "99", 1), "other")
    run.wait(5, progress())
    assert world.sqs.deleted == ["own"]


def test_a_letter_with_another_record_is_not_removed() -> None:
    world = World()
    run = world.run()
    own, other = OnShard("4", DEVICE, BAD, NOW), OnShard("5", "pump-1", b"of another device", NOW)
    world.sqs.add(async_failure(kinesis_event(own)), "own")
    world.sqs.add(async_failure(kinesis_event(own, other)), "both")
    world.sqs.add(async_failure(kinesis_event(other)), "other")
    run.wait(5, progress())
    assert world.sqs.deleted == ["own"]
    assert len(run.seen.letters) == 1


def test_late_letters_are_removed_at_the_end_and_later_ones_are_announced() -> None:
    world = World()
    run = world.run()
    run.publish()
    run.wait(3, progress())
    assert run.seen.letters == []
    world.process()
    notes = run.remove()
    assert notes[0].endswith("items 4, dead letters 1.")
    assert any("later" in note for note in notes)


def test_a_long_queue_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_DEAD_LETTERS", 20)
    world = World()
    for _ in range(50):
        world.sqs.add({"kind": "unknown"})
    run = world.run()
    run.wait(0, progress())
    assert run.seen.queue_too_long
    assert sum(each.receives for each in world.sqs.messages.values()) == 20
    assert len(world.sqs.visible()) == 50


def test_only_the_shard_of_the_device_is_read() -> None:
    world = World()
    world.run().publish()
    (one,) = world.kinesis.made("get_shard_iterator")
    assert one["ShardIteratorType"] == "LATEST"
    # md5(DEVICE) is in the half of the key space that starts with this digit.
    digest = hashlib.md5(DEVICE.encode()).hexdigest()
    assert one["ShardId"] == ("shard-0" if digest[0] in "01234567" else "shard-1")
    world.kinesis.calls.clear()
    world.run(key_is_device_id=False).publish()
    assert len(world.kinesis.made("get_shard_iterator")) == 2


def test_closed_shards_are_not_read() -> None:
    world = World()
    for shard in world.kinesis.responses["list_shards"]["Shards"]:
        shard["SequenceNumberRange"]["EndingSequenceNumber"] = "2"
    world.run().publish()
    assert world.kinesis.made("get_shard_iterator") == []


def test_it_publishes_at_the_endpoint_of_the_account() -> None:
    world = World()
    run = world.run()
    world.iot_data.endpoint_url = f"https://data-ats.iot.{REGION}.amazonaws.com"
    clients = run._clients
    assert isinstance(clients, Clients)
    address = {"endpointAddress": "abc-ats.iot.eu-central-1.amazonaws.com"}
    clients.services["iot"] = Service(describe_endpoint=address)
    run.publish()
    assert ("iot-data", f"https://{address['endpointAddress']}") in clients.endpoints
    assert clients.services["iot"].made("describe_endpoint") == [{"endpointType": "iot:Data-ATS"}]


NOON = datetime(2026, 5, 1, 11, 59, tzinfo=timezone.utc)


def test_prefixes_are_those_of_each_hour_and_end_at_unknown_expressions() -> None:
    template = "telemetry/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
    found = prefixes(template, NOON, NOON + timedelta(minutes=2))
    day = "telemetry/year=2026/month=05/day=01/"
    assert found[:2] == [f"{day}hour=11/", f"{day}hour=12/"]
    assert prefixes("raw/!{firehose:random-string}/x", NOON, NOON) == ["raw/"]
    assert prefixes("raw/!{timestamp:yyyy-MM}/", NOON, NOON) == ["raw/"]
    assert prefixes("", NOON, NOON) == [""]


def test_marks_are_found_in_new_objects_only_and_each_object_is_read_once() -> None:
    objects = {
        "old": (NOON - timedelta(hours=1), b"mark-1"),
        "plain": (NOON, b"a mark-1 b"),
        "gzip": (NOON, gzip.compress(b"mark-2")),
    }
    s3 = Service(
        list_objects_v2={
            "Contents": [{"Key": key, "LastModified": time} for key, (time, _) in objects.items()]
        },
        get_object=lambda **request: {"Body": io.BytesIO(objects[request["Key"]][1])},
    )
    reader = ArchiveReader(s3, "archive", "raw/")
    found = dict(reader.find([b"mark-1", b"mark-2", b"mark-3"], NOON, NOON))
    assert found == {b"mark-1": "plain", b"mark-2": "gzip"}
    assert dict(reader.find([b"mark-1"], NOON, NOON)) == {}
    assert {each["Key"] for each in s3.made("get_object")} == {"plain", "gzip"}
