"""Physical names: ``prefix-base-suffix``, validated against AWS's rules and unique in the app.

CDK validates the names of some resource types and not of others, and it cannot validate a name that holds the account
or region of an environment-agnostic stack. So every name is validated here, before the resource is created, with the
longest account and region assumed where they are tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakKeyDictionary

import aws_cdk as cdk
from constructs import Construct, IConstruct

from iot_constructs import _defaults as defaults
from iot_constructs._stack import StackContext
from iot_constructs._validation import is_token
from iot_constructs._words import BUCKET_NAME_RULES

if TYPE_CHECKING:  # environment imports this module
    from iot_constructs.environment import EnvironmentSuffix, NamePrefix

_AWS: Final = "https://docs.aws.amazon.com"


@dataclass(frozen=True)
class NameType:
    """The rules that AWS has for the names of one resource type."""

    resource: str
    keyword: str
    """The argument that sets the name."""
    shortest: int
    longest: int
    characters: str
    """The allowed ones, as in the brackets of a regular expression."""
    source: str
    separator: str = "-"
    unique_in: Literal["region", "account", "world"] = "region"

    def validate(self, name: str, base_name: str, suffix: str, length: int | None = None) -> None:
        """Raise ValueError, naming the keyword to change, if AWS does not allow ``name``."""
        length = length if length is not None else len(name)
        if length > self.longest:
            raise ValueError(
                f"{self.keyword}={base_name!r}: the {self.resource} name {name!r} has {length} characters and AWS "
                f"allows {self.longest}; shorten {self.keyword}, name_prefix or the environment suffix {suffix!r} by "
                f"{length - self.longest} ({self.source})"
            )
        if length < self.shortest:
            raise ValueError(
                f"{self.keyword}={base_name!r}: the {self.resource} name {name!r} is shorter than {self.shortest} "
                f"characters ({self.source})"
            )
        wrong = re.sub(f"[{self.characters}]", "", base_name)
        if wrong:
            raise ValueError(
                f"{self.keyword}={base_name!r}: {wrong[0]!r} is not allowed in the name of a {self.resource}; use "
                f"{self.characters} ({self.source})"
            )


BUCKET = NameType(
    "S3 bucket",
    "bucket_name",
    3,
    63,
    "a-z0-9-",
    BUCKET_NAME_RULES,
    unique_in="world",
)
STACK = NameType(
    "CloudFormation stack",
    "stack_name",
    1,
    128,
    "a-zA-Z0-9-",
    f"{_AWS}/AWSCloudFormation/latest/APIReference/API_CreateStack.html",
)
STREAM = NameType(
    "Kinesis stream",
    "stream_name",
    1,
    128,
    "a-zA-Z0-9_.-",
    f"{_AWS}/kinesis/latest/APIReference/API_CreateStream.html",
)
FUNCTION = NameType(
    "Lambda function",
    "function_name",
    1,
    64,
    "a-zA-Z0-9_-",
    f"{_AWS}/lambda/latest/api/API_CreateFunction.html",
)
TABLE = NameType(
    "DynamoDB table",
    "table_name",
    3,
    255,
    "a-zA-Z0-9_.-",
    f"{_AWS}/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html",
)
TOPIC = NameType(
    "SNS topic",
    "topic_name",
    1,
    256,
    "a-zA-Z0-9_-",
    f"{_AWS}/sns/latest/api/API_CreateTopic.html",
)
QUEUE = NameType(
    "SQS queue",
    "dlq_name",
    1,
    80,
    "a-zA-Z0-9_-",
    f"{_AWS}/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html",
)
RULE = NameType(
    "IoT rule",
    "rule_name",
    1,
    128,
    "a-zA-Z0-9_",
    f"{_AWS}/iot/latest/apireference/API_CreateTopicRule.html",
    separator="_",
)
DEVICE_POLICY = NameType(
    "IoT policy",
    "policy_name",
    1,
    128,
    "a-zA-Z0-9_+=,.@-",
    f"{_AWS}/iot/latest/apireference/API_CreatePolicy.html",
)
DELIVERY_STREAM = NameType(
    "Firehose stream",
    "delivery_stream_name",
    1,
    64,
    "a-zA-Z0-9_.-",
    f"{_AWS}/firehose/latest/APIReference/API_CreateDeliveryStream.html",
)
DATABASE = NameType(
    "Glue database",
    "database_name",
    1,
    255,
    "a-z0-9_",
    f"{_AWS}/athena/latest/ug/tables-databases-columns-names.html",
    separator="_",
)
GLUE_TABLE = NameType(
    "Glue table",
    "table_name",
    1,
    255,
    "a-z0-9_",
    f"{_AWS}/athena/latest/ug/tables-databases-columns-names.html",
    separator="_",
)
WORKGROUP = NameType(
    "Athena workgroup",
    "workgroup_name",
    1,
    128,
    "a-zA-Z0-9._-",
    f"{_AWS}/athena/latest/APIReference/API_CreateWorkGroup.html",
)
SAVED_QUERY = NameType(
    "Athena saved query",
    "query_name",
    1,
    128,
    " -~",
    f"{_AWS}/athena/latest/APIReference/API_CreateNamedQuery.html",
)
ALARM = NameType(
    "CloudWatch alarm",
    "name_prefix",
    1,
    255,
    "a-zA-Z0-9_.-",
    f"{_AWS}/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html",
)
DASHBOARD = NameType(
    "CloudWatch dashboard",
    "dashboard_name",
    1,
    255,
    "a-zA-Z0-9_-",
    f"{_AWS}/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html",
    unique_in="account",
)

# The reserved endings need a dot or two hyphens, which a suffix does not have, except for this one.
_RESERVED_BUCKET_BEGINNINGS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_BUCKET_ENDING = "-s3alias"


@dataclass(frozen=True)
class Names:
    """Creates the physical names of one construct."""

    scope: Construct
    construct: str
    """The construct's id, for error messages."""
    prefix: NamePrefix
    suffix: EnvironmentSuffix

    def physical_name(
        self, type: NameType, given: str | None, default: str, keyword: str | None = None
    ) -> str:
        """``given-suffix``, or else ``prefix-default-suffix``.

        ``PhysicalName.GENERATE_IF_NEEDED`` leaves the name to CloudFormation and is returned as it is.

        Raises:
            ValueError: AWS does not allow the name, or another resource of the app has it.
        """
        if is_generated(given):
            return cdk.PhysicalName.GENERATE_IF_NEEDED
        type = replace(type, keyword=keyword) if keyword is not None else type
        base_name = self.base_name(type, given, default)
        suffix = self.suffix.value.replace("-", type.separator)
        name = f"{base_name}{type.separator}{suffix}"
        type.validate(name, base_name, suffix)
        self.reserve_name(type, name)
        return name

    def dashboard_name(self, given: str | None, default: str) -> str:
        """``prefix-default-region-suffix``: an account has one dashboard of a name for all regions."""
        if is_generated(given):
            return cdk.PhysicalName.GENERATE_IF_NEEDED
        region = StackContext.of(self.scope).region
        base_name = self.base_name(DASHBOARD, given, default)
        name = f"{base_name}-{region}-{self.suffix}"
        length = len(name) - len(region) + _longest(region, defaults.LONGEST_REGION)
        DASHBOARD.validate(name, base_name, self.suffix.value, length)
        self.reserve_name(DASHBOARD, name)
        return name

    def bucket_name(self, given: str | None, default: str, ending: str = "") -> str:
        """``prefix-default-account-region-suffix``: all of AWS shares the names of buckets.

        Args:
            given: the base name from an argument.
            default: the base name without an argument, without the prefix.
            ending: added to the base name, which is cut where it does not fit.
        """
        if is_generated(given):
            return cdk.PhysicalName.GENERATE_IF_NEEDED
        name = self.validated_bucket_name(BUCKET, given, default, ending)
        self.reserve_name(BUCKET, name)
        return name

    def validated_bucket_name(
        self, type: NameType, given: str | None, default: str, ending: str = ""
    ) -> str:
        """As :meth:`bucket_name`, without reserving the name."""
        base_name = self.base_name(type, given, default)
        stack = StackContext.of(self.scope)
        room = (
            type.longest
            - _longest(stack.account, defaults.LONGEST_ACCOUNT)
            - _longest(stack.region, defaults.LONGEST_REGION)
            - len(self.suffix.value)
            - len("---")
        )
        if ending:
            base_name = f"{base_name[: room - len(ending)].rstrip('-')}{ending}"
        name = f"{base_name}-{stack.account}-{stack.region}-{self.suffix}"
        type.validate(name, base_name, self.suffix.value, type.longest - room + len(base_name))
        if not base_name[0].isalnum() or base_name.startswith(_RESERVED_BUCKET_BEGINNINGS):
            raise ValueError(
                f"{type.keyword}={base_name!r}: an S3 bucket name begins with a letter or digit, and not with "
                f"{', '.join(_RESERVED_BUCKET_BEGINNINGS)} ({type.source})"
            )
        if name.endswith(_RESERVED_BUCKET_ENDING):
            raise ValueError(
                f"environment_suffix={self.suffix.value!r}: S3 reserves bucket names that end in "
                f"{_RESERVED_BUCKET_ENDING}; choose another suffix ({type.source})"
            )
        return name

    def base_name(self, type: NameType, given: str | None, default: str) -> str:
        """What stands before the suffix: the argument as it is, or the default behind the name prefix.

        Raises:
            ValueError: it is empty or a token, which cannot be validated.
        """
        if given is None:
            return f"{self.prefix.value.replace('-', type.separator)}{type.separator}{default}"
        if not given:
            raise ValueError(
                f"{type.keyword}='': the name is empty; remove {type.keyword} to get the default"
            )
        if is_token(given):
            raise ValueError(
                f"{type.keyword}={given!r}: a token cannot be validated; pass a literal string, or "
                "PhysicalName.GENERATE_IF_NEEDED to leave the name to CloudFormation"
            )
        return given

    def reserve_name(self, type: NameType, name: str) -> None:
        """Register ``name`` for this construct.

        Raises:
            ValueError: another resource of this type has the name, where AWS wants it to be unique.
        """
        reserve_name(self.scope, self.construct, type, name)


class Named:
    """A construct whose physical names have a prefix and a suffix."""

    _names: Names

    @property
    def environment_suffix(self) -> EnvironmentSuffix:
        """The environment suffix of its names."""
        return self._names.suffix

    @property
    def name_prefix(self) -> NamePrefix:
        """The first word of its default names."""
        return self._names.prefix


def reserve_name(scope: Construct, construct: str, type: NameType, name: str) -> None:
    """As :meth:`Names.reserve_name`, for a construct that is yet to be created in ``scope``."""
    stack = StackContext.of(scope)
    account = "" if type.unique_in == "world" else _known(stack.account)
    region = _known(stack.region) if type.unique_in == "region" else ""
    reserved = _RESERVED.setdefault(stack.root, {})
    first, first_id = reserved.setdefault(
        (type.resource, account, region, name), (scope, construct)
    )
    if first is not scope or first_id != construct:
        paths = [
            f"{one.node.path}/{id}".strip("/")
            for one, id in ((scope, construct), (first, first_id))
        ]
        raise ValueError(
            f"{type.keyword}: the {type.resource} name {name!r} of {paths[0]!r} is that of {paths[1]!r} already; pass "
            f"another {type.keyword}=, or set name_prefix= on one of the two or on a scope above it"
        )


_Reservations = dict[tuple[str, str, str, str], tuple[Construct, str]]
_RESERVED: WeakKeyDictionary[IConstruct, _Reservations] = WeakKeyDictionary()


def is_generated(name: str | None) -> bool:
    """Whether an argument leaves the name to CloudFormation."""
    return name is not None and is_token(name) and name == cdk.PhysicalName.GENERATE_IF_NEEDED


def _known(value: str) -> str:
    """Account or region; all tokens are equal, since two environment-agnostic stacks may land in one account."""
    return "" if is_token(value) else value


def _longest(value: str, assumed: int) -> int:
    return assumed if is_token(value) else len(value)
