"""The constructs, the L2s whose properties they take, and every keyword of each."""

from __future__ import annotations

import inspect

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3

import iot_constructs as iot

L2S: dict[str, tuple[type, ...]] = {
    "SuffixedStack": (cdk.Stack,),
    "SecureDataBucket": (s3.Bucket,),
    "MonitoredStream": (kinesis.Stream,),
    "TimeSeriesTable": (dynamodb.TableV2,),
    "DeviceStateTable": (dynamodb.TableV2,),
    "StreamProcessor": (lambda_.Function, lambda_.EventSourceMapping),
    "TelemetryProcessor": (),  # those of StreamProcessor are in its row
    "TelemetryRule": (),
    "DevicePolicy": (),
    "StreamArchive": (firehose.S3Bucket,),
    "QueryableArchive": (),
    "PipelineAlarms": (),
}
# What StreamProcessor sets from its stream and function.
SET_BY_US = {"target", "event_source_arn"}


def keywords(name: str) -> list[str]:
    """Ours and those of the L2, in the order of their signatures."""
    sources = [getattr(iot, name).__init__, *(l2.__dict__["__init__"] for l2 in L2S[name])]
    found = [p for source in sources for p in inspect.signature(source).parameters.values()]
    names = dict.fromkeys(p.name for p in found if p.kind == p.KEYWORD_ONLY)
    return [keyword for keyword in names if keyword not in SET_BY_US]
