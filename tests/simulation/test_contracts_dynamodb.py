"""DynamoDB, as the processor uses it: the model and the emulator behave in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from .conftest import Models, Services

Item = dict[str, Any]


def item(device: str, timestamp: int | str = 1, value: object = "v", **more: Any) -> Item:
    reading = value if isinstance(value, dict) else {"S": value}
    return {
        "deviceId": {"S": device},
        "timestamp": {"N": str(timestamp)},
        "reading": {"M": {"value": reading}},
        **more,
    }


def puts(*items: Item) -> list[Any]:
    return [{"PutRequest": {"Item": each}} for each in items]


def update(
    services: Services, device: str, timestamp: int, value: str, returns: str = "ALL_OLD"
) -> dict[str, Any]:
    """The processor's UPDATE, of an older item only."""
    moment = {"N": str(timestamp)}
    return {
        "Statement": f'UPDATE "{services.state}" SET "timestamp"=? SET "reading"=? '
        'WHERE "deviceId"=? AND "timestamp"<?',
        "Parameters": [moment, {"M": {"value": {"S": value}}}, {"S": device}, moment],
        "ReturnValuesOnConditionCheckFailure": returns,
    }


def insert(services: Services, device: str, timestamp: int, value: str) -> dict[str, Any]:
    """The processor's INSERT."""
    return {
        "Statement": f'INSERT INTO "{services.state}" '
        "VALUE {'deviceId':?,'timestamp':?,'reading':?}",
        "Parameters": [
            {"S": device},
            {"N": str(timestamp)},
            {"M": {"value": {"S": value}}},
        ],
    }


def execute(services: Services, *statements: dict[str, Any]) -> list[Any]:
    response = services.dynamodb.batch_execute_statement(Statements=list(statements))
    responses: list[Any] = response["Responses"]
    return responses


def codes(responses: Sequence[Any]) -> list[str | None]:
    return [each.get("Error", {}).get("Code") for each in responses]


def write(services: Services, *items: Item, table: str | None = None) -> Any:
    name = table if table is not None else services.series
    return services.dynamodb.batch_write_item(RequestItems={name: puts(*items)})


def error_code(raised: pytest.ExceptionInfo[ClientError]) -> str:
    code: str = raised.value.response["Error"]["Code"]
    return code


def ordered(items: Sequence[Item]) -> list[Item]:
    return sorted(items, key=lambda each: (each["deviceId"]["S"], float(each["timestamp"]["N"])))


def test_a_batch_stores_all_items_and_returns_none_as_unprocessed(services: Services) -> None:
    sent = [item("d1", timestamp) for timestamp in range(25)]
    assert write(services, *sent)["UnprocessedItems"] == {}
    assert ordered(services.items(services.series)) == sent


def test_an_item_with_the_same_key_replaces_all_attributes(services: Services) -> None:
    write(services, item("d1", 1, "old", ttl={"N": "1"}))
    write(services, item("d1", 1, "new"))
    assert services.items(services.series) == [item("d1", 1, "new")]
    services.dynamodb.put_item(TableName=services.series, Item=item("d1", 1, "newest"))
    # Numbers are equal by value, not by their text.
    services.dynamodb.put_item(TableName=services.series, Item=item("d1", "1.0", "equal"))
    [stored] = services.items(services.series)
    assert stored["reading"] == {"M": {"value": {"S": "equal"}}}


@pytest.mark.parametrize(
    "invalid",
    [
        [item("d1", timestamp) for timestamp in range(26)],
        [item("d1", 1), item("d2", 1), item("d1", 1, "other")],
        [item("d1", 1), item("d1", "1.0")],
        [item("d1", 1), {"deviceId": {"S": "d2"}}],
        [item("d1", 1), item("", 1)],
        [item("d1", 1), item("d2", "1" * 39)],
        [item("d1", 1), item("d2", 1, {"N": "1" * 39})],
        [item("d1", 1), item("d2", 1, {"N": "1e126"})],
        [item("d1", 1), item("d2", 1, "x" * 409_600)],
    ],
    ids=[
        "26 items",
        "equal keys",
        "keys of equal value",
        "no sort key",
        "empty key",
        "39 digits in a key",
        "39 digits",
        "1e126",
        "over 400 KB",
    ],
)
def test_an_invalid_item_fails_the_whole_batch(services: Services, invalid: list[Item]) -> None:
    with pytest.raises(ClientError) as raised:
        write(services, *invalid)
    assert error_code(raised) == "ValidationException"
    assert services.items(services.series) == []


@pytest.mark.parametrize(("levels", "is_valid"), [(30, True), (31, False)])
def test_an_item_has_up_to_32_levels(services: Services, levels: int, is_valid: bool) -> None:
    value: dict[str, Any] = {"N": "1"}
    for _ in range(levels):
        value = {"L": [value]}
    deep = item("d1", 1, value)
    if is_valid:
        services.dynamodb.put_item(TableName=services.series, Item=deep)
    else:
        with pytest.raises(ClientError) as raised:
            services.dynamodb.put_item(TableName=services.series, Item=deep)
        assert error_code(raised) == "ValidationException"
    assert services.items(services.series) == [deep] * is_valid


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
@pytest.mark.parametrize(("size", "is_valid"), [(409_600, True), (409_601, False)])
def test_an_item_has_up_to_400_kb(
    services: Services, size: int, is_valid: bool, nested: bool
) -> None:
    """developerguide/CapacityUnitCalculations.html: names and values in UTF-8, and an overhead of lists and maps."""
    fixed = len("deviceId" + "d1" + "timestamp" + "note") + 2  # a number: 1, and 1 for two digits
    if nested:
        fixed += 3 + 1 + 3 + 1 + len("text")
    text = {"S": "ü" + "x" * (size - fixed - 2)}
    full = {
        "deviceId": {"S": "d1"},
        "timestamp": {"N": "1"},
        "note": {"L": [{"M": {"text": text}}]} if nested else text,
    }
    if is_valid:
        services.dynamodb.put_item(TableName=services.series, Item=full)
    else:
        with pytest.raises(ClientError) as raised:
            services.dynamodb.put_item(TableName=services.series, Item=full)
        assert error_code(raised) == "ValidationException"
    assert len(services.items(services.series)) == is_valid


def test_a_request_has_up_to_16_mb(models: Models) -> None:
    """API_BatchWriteItem: 16 MB as JSON, in which a control character takes six bytes. Not in the emulator."""
    large = [item("d1", n, "\0" * 200_000) for n in range(15)]
    with pytest.raises(ClientError) as raised:
        write(models, *large)
    assert error_code(raised) == "ValidationException"
    write(models, *large[:13])


@pytest.mark.parametrize("call", ["batch_write_item", "put_item"])
def test_a_missing_table(services: Services, call: str) -> None:
    request: dict[str, Any] = {"TableName": "no-such-table", "Item": item("d1")}
    if call == "batch_write_item":
        request = {"RequestItems": {"no-such-table": puts(item("d1"))}}
    with pytest.raises(ClientError) as raised:
        getattr(services.dynamodb, call)(**request)
    assert error_code(raised) == "ResourceNotFoundException"


def test_an_insert_of_a_new_item_and_of_an_existing_one(services: Services) -> None:
    assert codes(execute(services, insert(services, "d1", 1, "first"))) == [None]
    duplicate, other = execute(
        services, insert(services, "d1", 2, "second"), insert(services, "d2", 1, "first")
    )
    assert (codes([duplicate, other])) == ["DuplicateItem", None]
    assert ordered(services.items(services.state)) == [
        item("d1", 1, "first"),
        item("d2", 1, "first"),
    ]


def test_an_update_of_an_older_item_keeps_the_attributes_that_it_does_not_set(
    services: Services,
) -> None:
    services.dynamodb.put_item(TableName=services.state, Item=item("d1", 1, "old", note={"S": "n"}))
    assert codes(execute(services, update(services, "d1", 2, "new"))) == [None]
    assert services.items(services.state) == [item("d1", 2, "new", note={"S": "n"})]


@pytest.mark.parametrize("stored", [5, 6], ids=["equal", "newer"])
@pytest.mark.parametrize("returns", ["ALL_OLD", "NONE"])
def test_an_update_of_an_item_that_is_not_older(
    services: Services, stored: int, returns: str
) -> None:
    kept = item("d1", stored, "kept")
    services.dynamodb.put_item(TableName=services.state, Item=kept)
    [response] = execute(services, update(services, "d1", 5, "late", returns))
    assert codes([response]) == ["ConditionalCheckFailed"]
    # "This will be set if ReturnValuesOnConditionCheckFailure is specified as ALL_OLD."
    assert response["Error"].get("Item") == (kept if returns == "ALL_OLD" else None)
    assert services.items(services.state) == [kept]


def test_an_update_of_a_missing_item_or_attribute_fails_its_condition(services: Services) -> None:
    services.dynamodb.put_item(TableName=services.state, Item={"deviceId": {"S": "d2"}})
    missing, bare = execute(
        services, update(services, "d1", 5, "x"), update(services, "d2", 5, "x")
    )
    assert codes([missing, bare]) == ["ConditionalCheckFailed"] * 2
    assert "Item" not in missing["Error"]
    assert bare["Error"]["Item"] == {"deviceId": {"S": "d2"}}
    assert services.items(services.state) == [{"deviceId": {"S": "d2"}}]


def test_the_numbers_of_a_condition_are_compared_by_value(services: Services) -> None:
    services.dynamodb.put_item(TableName=services.state, Item=item("d1", 9))
    assert codes(execute(services, update(services, "d1", 10, "ten"))) == [None]


def test_each_statement_has_its_own_result_in_order(services: Services) -> None:
    services.dynamodb.put_item(TableName=services.state, Item=item("d1", 5))
    services.dynamodb.put_item(TableName=services.state, Item=item("d3", 1))
    responses = execute(services, *(update(services, f"d{n}", 5, "new") for n in range(1, 5)))
    assert codes(responses) == ["ConditionalCheckFailed"] * 2 + [None, "ConditionalCheckFailed"]
    assert ["Item" in each.get("Error", {}) for each in responses] == [True, False, False, False]


def test_a_call_without_entries_is_refused(services: Services) -> None:
    """By DynamoDB, and by boto3 before it sends the call."""
    refused = (ClientError, ParamValidationError)
    with pytest.raises(refused):
        write(services)
    with pytest.raises(refused):
        execute(services)


def test_a_call_has_up_to_25_statements(services: Services) -> None:
    statements = [insert(services, f"d{n}", 1, "v") for n in range(26)]
    with pytest.raises(ClientError) as raised:
        execute(services, *statements)
    assert error_code(raised) == "ValidationException"
    assert services.items(services.state) == []


def test_an_invalid_statement_fails_alone(services: Services) -> None:
    responses = execute(
        services,
        insert(services, "d1", 1, "v"),
        insert(services, "d2", 1, "x" * 409_600),
        insert(services, "d3", 1, "v"),
    )
    assert codes(responses) == [None, "ValidationError", None]


def test_a_statement_on_a_missing_table_fails_alone(services: Services) -> None:
    elsewhere = insert(services, "d2", 1, "v")
    elsewhere["Statement"] = elsewhere["Statement"].replace(services.state, "no-such-table")
    responses = execute(services, insert(services, "d1", 1, "v"), elsewhere)
    assert codes(responses) == [None, "ResourceNotFound"]


def test_two_statements_for_one_item_are_refused(models: Models) -> None:
    """No page tells their order or result, so no code must rely on one."""
    with pytest.raises(ClientError) as raised:
        execute(models, update(models, "d1", 1, "a"), insert(models, "d1", 2, "b"))
    assert error_code(raised) == "ValidationException"


def test_failed_entries_of_a_batch_are_unprocessed_and_only_throttled_ones_are_an_error(
    models: Models,
) -> None:
    """API_BatchWriteItem. The emulator never throttles."""
    sent = [item("d1", n) for n in range(4)]
    response = models.dynamodb.batch_write_item(
        RequestItems={models.series: puts(*sent)},
        fails=lambda index: "ThrottlingError" if index in (1, 2) else None,
    )
    assert response["UnprocessedItems"] == {models.series: puts(*sent[1:3])}
    assert ordered(models.items(models.series)) == [sent[0], sent[3]]
    with pytest.raises(ClientError) as raised:
        models.dynamodb.batch_write_item(
            RequestItems={models.series: puts(*sent)}, fails=lambda index: "ThrottlingError"
        )
    assert error_code(raised) == "ProvisionedThroughputExceededException"
    response = models.dynamodb.batch_write_item(
        RequestItems={models.series: puts(*sent)}, fails=lambda index: "InternalServerError"
    )
    assert response["UnprocessedItems"] == {models.series: puts(*sent)}


def test_a_hot_partition_throttles_its_items_only(models: Models) -> None:
    """developerguide/bp-partition-key-design.html: the throughput of a partition. The emulator never throttles."""
    models.dynamodb.throttles = lambda table, item: item["deviceId"]["S"] == "hot"
    sent = [item("hot"), item("d1")]
    assert write(models, *sent)["UnprocessedItems"] == {models.series: puts(item("hot"))}
    statements = [insert(models, device, 1, "v") for device in ("hot", "d1")]
    assert codes(execute(models, *statements)) == ["ThrottlingError", None]
    with pytest.raises(ClientError) as raised:
        write(models, item("hot"))
    assert error_code(raised) == "ProvisionedThroughputExceededException"
    with pytest.raises(ClientError) as raised:
        models.dynamodb.put_item(TableName=models.series, Item=item("hot"))
    assert error_code(raised) == "ProvisionedThroughputExceededException"
    assert models.items(models.series) == [item("d1")]


NAMES = {"#device": "deviceId", "#timestamp": "timestamp"}


def read(services: Services, *devices: str, **changes: Any) -> Any:
    """The processor's BatchGetItem."""
    request = {
        "Keys": [{"deviceId": {"S": device}} for device in devices],
        "ProjectionExpression": "#device, #timestamp",
        "ExpressionAttributeNames": NAMES,
    }
    return services.dynamodb.batch_get_item(RequestItems={services.state: {**request, **changes}})


def test_a_batch_of_reads_returns_the_attributes_of_the_items_that_exist(
    services: Services,
) -> None:
    assert codes(execute(services, insert(services, "d1", 5, "v"))) == [None]
    services.dynamodb.put_item(TableName=services.state, Item={"deviceId": {"S": "d2"}})
    response = read(services, "d1", "d2", "d3")
    found = sorted(response["Responses"][services.state], key=lambda each: each["deviceId"]["S"])
    assert found == [
        {"deviceId": {"S": "d1"}, "timestamp": {"N": "5"}},
        {"deviceId": {"S": "d2"}},
    ]
    assert response["UnprocessedKeys"] == {}


@pytest.mark.parametrize("devices", [["d1", "d1"], ["d1", ""]], ids=["equal keys", "empty key"])
def test_invalid_keys_fail_the_whole_batch_of_reads(services: Services, devices: list[str]) -> None:
    with pytest.raises(ClientError) as raised:
        read(services, *devices)
    assert error_code(raised) == "ValidationException"


def test_a_batch_reads_100_items(services: Services) -> None:
    assert read(services, *[f"d{n}" for n in range(100)])["UnprocessedKeys"] == {}
    with pytest.raises(ClientError) as raised:
        read(services, *[f"d{n}" for n in range(101)])
    assert error_code(raised) == "ValidationException"


def test_timestamp_is_a_reserved_word_of_expressions(models: Models) -> None:
    """The emulator accepts it (developerguide/ReservedWords.html)."""
    with pytest.raises(ClientError) as raised:
        read(models, "d1", ProjectionExpression="#device, timestamp")
    assert error_code(raised) == "ValidationException"


def test_a_batch_of_reads_can_be_partial(models: Models) -> None:
    execute(models, *[insert(models, device, 5, "v") for device in ("d1", "d2")])
    request = {
        "Keys": [{"deviceId": {"S": device}} for device in ("d1", "d2")],
        "ProjectionExpression": "deviceId",
    }
    response = models.dynamodb.batch_get_item(
        RequestItems={models.state: request},
        fails=lambda index: "ThrottlingError" if index == 1 else None,
    )
    assert response["Responses"] == {models.state: [{"deviceId": {"S": "d1"}}]}
    assert response["UnprocessedKeys"][models.state]["Keys"] == [{"deviceId": {"S": "d2"}}]
    with pytest.raises(ClientError) as raised:
        models.dynamodb.batch_get_item(
            RequestItems={models.state: request}, fails=lambda index: "ThrottlingError"
        )
    assert error_code(raised) == "ProvisionedThroughputExceededException"
