"""The TypedDicts of _props.py have the keywords and types of the L2s, with whichever aws-cdk-lib is installed.

`make matrix` runs this with the lowest and with the newest supported aws-cdk-lib.
"""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

from iot_constructs import StreamProcessor, _props, processing

# TypedDict, L2, and what is an argument of the construct itself or set from one.
CASES: list[tuple[type, type, set[str]]] = [
    (_props.StackProps, cdk.Stack, set()),
    (_props.BucketProps, s3.Bucket, set()),
    (_props.StreamProps, kinesis.Stream, set()),
    (_props.TableProps, dynamodb.TableV2, set()),
    (_props.FunctionProps, lambda_.Function, {"retry_attempts", "on_failure", "log_retention"}),
    (
        _props.EventSourceMappingProps,
        lambda_.EventSourceMapping,
        {"target", "event_source_arn", "on_failure"},
    ),
    (_props.DeliveryProps, firehose.S3Bucket, {"bucket"}),
]


@pytest.mark.parametrize(
    ("props", "l2", "ours"), CASES, ids=lambda case: getattr(case, "__name__", "")
)
def test_the_properties_are_those_of_the_l2(props: type, l2: Any, ours: set[str]) -> None:
    constructor = l2.__dict__["__init__"]
    parameters = set(inspect.signature(constructor).parameters) - {"self", "scope", "id"} - ours
    assert set(props.__annotations__) == parameters
    scope = {**vars(_props), "None": None}
    for name in parameters:
        theirs = types.SimpleNamespace(__annotations__={name: constructor.__annotations__[name]})
        expected = typing.get_type_hints(theirs, globalns=constructor.__globals__)[name]
        own = types.SimpleNamespace(__annotations__={name: props.__annotations__[name]})
        found = typing.get_type_hints(own, globalns=scope)[name]
        assert _flat(found) == _flat(expected), name


def test_a_telemetry_processor_passes_on_what_a_stream_processor_takes_but_its_code() -> None:
    def own(construct: type) -> dict[str, str]:
        annotations = inspect.unwrap(construct.__init__).__annotations__  # type: ignore[misc]
        return {k: v for k, v in annotations.items() if k not in ("scope", "id", "props", "return")}

    passed_on = dict(_props.TelemetryProcessorProps.__annotations__)
    for keyword in _props.StreamProcessorProps.__annotations__:
        del passed_on[keyword]
    written = {k: v.__forward_arg__ for k, v in passed_on.items()}
    expected = {k: v for k, v in own(StreamProcessor).items() if k not in ("function", "stream")}
    assert written == expected


def test_the_mapping_and_the_function_share_no_property() -> None:
    mapping = set(_props.EventSourceMappingProps.__annotations__)
    assert mapping.isdisjoint(_props.FunctionProps.__annotations__)
    assert mapping == processing.MAPPING_PROPS


def _flat(hint: Any) -> object:
    """A type by its names: ``float`` stands for a number of jsii, and a missing None is no difference."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        parts = {_flat(one) for one in arguments if one is not types.NoneType} - {"int"}
        # pyright does not take a Key for an IKey, nor a Topic for an ITopic.
        parts -= {"Key", "Topic"} if parts & {"IKey", "IKeyRef", "ITopic"} else set()
        return next(iter(parts)) if len(parts) == 1 else frozenset(parts)
    if origin is not None:
        return (origin.__name__.lower(), *map(_flat, arguments))
    return getattr(hint, "__qualname__", str(hint))
