"""Every keyword of every construct, ours and those of its L2, with more than 60 values (``--full``), or a seventh.

Each call ends in valid CloudFormation (by cfn-lint) or in a TypeError or ValueError that names the keyword: never in an
AttributeError or an error of Node.
"""

from __future__ import annotations

import datetime
import decimal
import itertools
import pathlib
import re

import aws_cdk as cdk
import cfnlint
import pytest
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from cfnlint.core import get_rules
from constructs import Construct

import iot_constructs as iot
from tests.constructor_keywords import L2S, keywords
from tests.synth_support import ENV, REGION, Json, unvalidated_app

CODE = lambda_.Code.from_inline("def handler(event, context): return {'batchItemFailures': []}")
ARN = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"


class Given:
    """What the constructs of one stack are given, and what a value of the wrong kind is taken from."""

    def __init__(self, stack: cdk.Stack) -> None:
        scope = Construct(stack, "Given")
        self.stack = stack
        self.stream = iot.MonitoredStream(scope, "Stream", name_prefix="given")
        self.bucket = s3.Bucket(scope, "Bucket")
        self.topic = sns.Topic(scope, "Topic")
        self.fifo_topic = sns.Topic(scope, "FifoTopic", fifo=True)
        self.queue = sqs.Queue(scope, "Queue")
        self.key = kms.Key(scope, "Key")
        self.imported_key = kms.Key.from_key_arn(scope, "ImportedKey", ARN)
        self.role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.table = dynamodb.TableV2(
            scope,
            "Table",
            partition_key=dynamodb.Attribute(name="id", type=dynamodb.AttributeType.STRING),
        )
        self.function = lambda_.Function(
            scope,
            "Function",
            code=CODE,
            handler="index.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
        )
        self.log_group = logs.LogGroup(scope, "LogGroup")
        self.parameter = cdk.CfnParameter(scope, "Parameter", type="String")
        self.alarm = self.table.metric_user_errors().create_alarm(
            scope, "Alarm", threshold=1, evaluation_periods=1
        )

    def required(self, name: str) -> Json:
        """The keywords without which a construct cannot be created."""
        required: dict[str, Json] = {
            "StreamProcessor": {"stream": self.stream, "code": CODE, "handler": "index.handler"},
            "TelemetryProcessor": {"stream": self.stream, "time_series_table": self.table},
            "TelemetryRule": {"stream": self.stream, "dlq_topic": self.topic},
            "StreamArchive": {"stream": self.stream, "bucket": self.bucket},
            "QueryableArchive": {"bucket": self.bucket},
            "PipelineAlarms": {"time_series_table": self.table},
        }
        return required.get(name, {})

    def values(self) -> list[object]:
        plain: list[object] = [
            *(None, True, False, 0, 1, -1, 2, 7, 100, 10**6, 2**31, 0.5, 1.5),
            *(float("nan"), float("inf"), float("-inf"), 1j, decimal.Decimal(3)),
            *("", " ", "a", "hello", "hello world", "a/b", "a_b", "x" * 300, "ünï", "#", "+/+"),
            *("2026-01-01", "${topic(1)}", "arn:aws:sns:eu-central-1:123456789012:t", "\n"),
            *(b"a", bytearray(), [], [1], ["a"], [None], [[]], ("a",), {"a"}, {}, {"a": 1}),
            *({"a": "b"}, {1: 2}, object(), int, len, range(3), pathlib.Path("x")),
            *(datetime.timedelta(seconds=30), datetime.date(2026, 1, 1)),
        ]
        durations: list[object] = [
            *(cdk.Duration.seconds(0), cdk.Duration.seconds(30), cdk.Duration.millis(500)),
            *(cdk.Duration.hours(25), cdk.Duration.days(3), cdk.Duration.days(400)),
            *(cdk.Size.mebibytes(5), cdk.Size.gibibytes(1), cdk.Size.kibibytes(1)),
        ]
        enums: list[object] = [
            *(cdk.RemovalPolicy.DESTROY, cdk.RemovalPolicy.SNAPSHOT, cdk.RemovalPolicy.RETAIN),
            *(kinesis.StreamMode.ON_DEMAND, kinesis.StreamEncryption.MANAGED),
            *(s3.BucketEncryption.S3_MANAGED, lambda_.Architecture.X86_64),
            *(lambda_.Runtime.NODEJS_22_X, logs.RetentionDays.ONE_DAY),
        ]
        tokens: list[object] = [
            self.parameter.value_as_string,
            cdk.Token.as_number({"Ref": self.parameter.logical_id}),
            cdk.Duration.seconds(cdk.Token.as_number({"Ref": self.parameter.logical_id})),
            cdk.Token.as_list({"Ref": self.parameter.logical_id}),
        ]
        constructs: list[object] = [
            *(self.stream, self.bucket, self.topic, self.fifo_topic, self.queue, self.key),
            *(self.imported_key, self.role, self.table, self.function, self.log_group),
            *(self.alarm, self.stack, [self.topic], [self.key], self.bucket.node.default_child),
        ]
        return [*plain, *durations, *enums, *tokens, *constructs]


# Of the whole template, not of a resource: its size, and that it has resources.
RULES = get_rules([], ["W", "I", "E1001", "E1002"], [])
BATCH = 30
# Without --full, a keyword gets one value in seven: the next keyword gets the next ones.
STRIDE = 7


class Batch:
    """One app, in which the accepted calls are synthesized together."""

    def __init__(self, name: str, folder: pathlib.Path) -> None:
        self.name = name
        self.construct = getattr(iot, name)
        self.app = unvalidated_app(
            outdir=str(folder),
            context={"aws:cdk:disable-asset-staging": True},
            analytics_reporting=False,
        )
        self.stack = iot.SuffixedStack(self.app, "Fuzz", env=ENV)
        self.given = Given(self.stack)
        self.values = self.given.values()
        self.accepted: dict[str, str] = {}
        self.count = 0

    def attempt(self, keyword: str, number: int) -> str | None:
        """Create the construct with one value. Returns what is wrong with how it ends, or None."""
        value = self.values[number]
        case = f"{self.name}({keyword}={value!r})"
        self.count += 1
        id = f"C{self.count}n"
        parent: Construct = self.app if self.name == "SuffixedStack" else self.stack
        scope = Construct(parent, id)
        arguments: Json = {
            "name_prefix": f"p{self.count}",
            **self.given.required(self.name),
            keyword: value,
        }
        try:
            self.construct(scope, f"X{self.count}", **arguments)
        except (TypeError, ValueError) as error:
            parent.node.try_remove_child(id)
            return None if keyword in str(error) else f"{case} does not name the keyword: {error}"
        except Exception as error:  # what must not happen, whatever it is
            parent.node.try_remove_child(id)
            return f"{case}: {type(error).__name__}: {error}"
        if value is None:  # "not given", as in every other call
            parent.node.try_remove_child(id)
        else:
            self.accepted[id] = case
        return None

    def lint(self) -> list[str]:
        """What cfn-lint finds in the templates, with the call that is to blame."""
        folder = pathlib.Path(self.app.synth().directory)
        found = []
        for template in folder.glob("*.template.json"):
            for match in cfnlint.lint(template.read_text(encoding="utf-8"), RULES, [REGION]):
                path = "/".join(map(str, match.path or ()))
                case = re.search(r"C\d+n", f"{template.name} {path}")
                if case and case.group() in self.accepted:  # and not what a refused call left
                    blame = self.accepted[case.group()]
                    found.append(f"{blame}: {match.rule.id} {path}: {match.message}")
        return found


@pytest.mark.parametrize("name", list(L2S))
def test_each_value_is_valid_cloudformation_or_an_error_that_names_the_keyword(
    name: str, tmp_path: pathlib.Path, full: bool
) -> None:
    problems: list[str] = []
    folders = (tmp_path / str(number) for number in itertools.count())
    batch = Batch(name, next(folders))
    assert len(batch.values) >= 60
    stride = 1 if full else STRIDE
    for position, keyword in enumerate(keywords(name)):
        for number in range(position % stride, len(batch.values), stride):
            problems += filter(None, [batch.attempt(keyword, number)])
            if len(batch.accepted) >= BATCH:
                problems += batch.lint()
                batch = Batch(name, next(folders))
    problems += batch.lint()
    assert problems == []
