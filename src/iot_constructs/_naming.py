"""Physical names: the stem, the environment suffix, and what AWS allows.

CDK checks the names of some resource types and not of others (tables and topics pass unseen), and it cannot check
a name that holds the account or region of an environment-agnostic stack. So every name is checked here, before the
resource is made, with the longest account and region assumed where they are tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs._place import Place
from iot_constructs._taken_names import take_name
from iot_constructs._validate import is_token
from iot_constructs.environment import EnvironmentSuffix


@dataclass(frozen=True)
class NameRule:
    """What AWS allows as the name of one type of resource."""

    resource: str
    shortest: int
    longest: int
    characters: str  # inside a regular expression's [...]
    source: str
    separator: str = "-"

    def check(self, name: str, length: int, stem: str, suffix: EnvironmentSuffix) -> None:
        """Raise ValueError, naming the stem to change, when ``name`` is not allowed."""
        if length > self.longest:
            raise ValueError(
                f"{self.resource} name {name!r} has {length} characters and AWS allows {self.longest} "
                f"({self.source}); shorten the stem {stem!r} by {length - self.longest} or the suffix {suffix.value!r}"
            )
        if length < self.shortest:
            raise ValueError(
                f"{self.resource} name {name!r} is shorter than {self.shortest} ({self.source})"
            )
        wrong = re.sub(f"[{self.characters}]", "", stem)
        if wrong:
            raise ValueError(
                f"{self.resource} name stem {stem!r} has {wrong[0]!r}; AWS allows {self.characters} ({self.source})"
            )


# Its reserved endings all need a dot or two hyphens, but for the one below: a suffix has neither.
_RESERVED_BUCKET_BEGINNINGS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_BUCKET_ENDING = "-s3alias"

BUCKET = NameRule("S3 bucket", 3, 63, r"a-z0-9-", "S3 bucketnamingrules, FACTS 7")
STREAM = NameRule("Kinesis stream", 1, 128, r"a-zA-Z0-9_.-", "FACTS 8")
FUNCTION = NameRule("Lambda function", 1, 64, r"a-zA-Z0-9_-", "FACTS 11")
TABLE = NameRule("DynamoDB table", 3, 255, r"a-zA-Z0-9_.-", "FACTS 9")
TOPIC = NameRule("SNS topic", 1, 256, r"a-zA-Z0-9_-", "FACTS 11")
QUEUE = NameRule("SQS queue", 1, 80, r"a-zA-Z0-9_-", "FACTS 11")
RULE = NameRule("IoT rule", 1, 128, r"a-zA-Z0-9_", "FACTS 11", separator="_")
DEVICE_POLICY = NameRule("IoT policy", 1, 128, r"a-zA-Z0-9_+=,.@-", "CreatePolicy API")
DELIVERY_STREAM = NameRule("Firehose stream", 1, 64, r"a-zA-Z0-9_.-", "FACTS 11")
# https://docs.aws.amazon.com/athena/latest/ug/tables-databases-columns-names.html
DATABASE = NameRule("Glue database", 1, 255, r"a-z0-9_", "FACTS 11", separator="_")
GLUE_TABLE = NameRule("Glue table", 1, 255, r"a-z0-9_", "FACTS 11", separator="_")
WORKGROUP = NameRule("Athena workgroup", 1, 128, r"a-zA-Z0-9._-", "CreateWorkGroup API")
SAVED_QUERY = NameRule("Athena saved query", 1, 128, r" -~", "CreateNamedQuery API")
LOG_GROUP = NameRule("log group", 1, 512, r"a-zA-Z0-9_/.#-", "FACTS 11")
ALARM = NameRule("CloudWatch alarm", 1, 255, r"a-zA-Z0-9_.-", "FACTS 11")
DASHBOARD = NameRule("CloudWatch dashboard", 1, 255, r"a-zA-Z0-9_-", "PutDashboard API")


def physical_name(scope: Construct, rule: NameRule, stem: str, suffix: EnvironmentSuffix) -> str:
    """``stem-suffix``, checked against AWS's rule and against every other name in the app.

    Raises:
        ValueError: the stem is empty, a token or illegal, the name is too long, or another resource has it.
    """
    _check_stem(rule, stem)
    ending = suffix.value if rule.separator == "-" else suffix.value.replace("-", rule.separator)
    name = f"{stem}{rule.separator}{ending}"
    rule.check(name, len(name), stem, suffix)
    take_name(scope, rule.resource, name)
    return name


def bucket_name(scope: Construct, stem: str, suffix: EnvironmentSuffix) -> str:
    """``stem-account-region-suffix``: bucket names are shared by all of AWS.

    Raises:
        ValueError: as for :func:`physical_name`.
    """
    _check_stem(BUCKET, stem)
    place = Place.of(scope)
    name = f"{stem}-{place.account}-{place.region}-{suffix.value}"
    room = bucket_stem_room(scope, suffix)
    BUCKET.check(name, BUCKET.longest - room + len(stem), stem, suffix)
    if not stem[0].isalnum():
        raise ValueError(
            f"S3 bucket name stem {stem!r} does not begin with a letter or digit ({BUCKET.source})"
        )
    if stem.startswith(_RESERVED_BUCKET_BEGINNINGS):
        raise ValueError(
            f"S3 bucket name stem {stem!r} begins as S3 does not allow it: {', '.join(_RESERVED_BUCKET_BEGINNINGS)} "
            f"are reserved ({BUCKET.source})"
        )
    if name.endswith(_RESERVED_BUCKET_ENDING):
        raise ValueError(
            f"S3 bucket name {name!r} ends in {_RESERVED_BUCKET_ENDING}, which S3 reserves for access points "
            f"({BUCKET.source}); choose another suffix than {suffix.value!r}"
        )
    take_name(scope, BUCKET.resource, name)
    return name


def bucket_stem_room(scope: Construct, suffix: EnvironmentSuffix) -> int:
    """How many characters the stem of a bucket's name may have here."""
    place = Place.of(scope)
    account, region = place.account, place.region
    taken = defaults.LONGEST_ACCOUNT if is_token(account) else len(account)
    taken += defaults.LONGEST_REGION if is_token(region) else len(region)
    return BUCKET.longest - taken - len(suffix.value) - 3  # three hyphens


def _check_stem(rule: NameRule, stem: str) -> None:
    if not stem:
        raise ValueError(
            f"{rule.resource} name stem is empty; leave the argument out for the default"
        )
    if is_token(stem):
        raise ValueError(
            f"{rule.resource} name stem {stem!r} is a token and cannot be checked; pass a literal string"
        )
