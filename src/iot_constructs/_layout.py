"""Where a construct may stand: in which stack, stage, region and account of what its arguments name.

CDK makes a reference to another stack a dependency on that stack. It reports a cycle when the app is synthesized, with
the ids of resources and not with the argument that closes the cycle; between nested stacks the deployment fails. And it
lets a resource of another region or account pass, with which most AWS services then cannot work. So every construct in
an argument is compared here before anything is created.

Only references that an argument of this library makes are known: not those of your code to your resources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import aws_cdk as cdk
from constructs import Construct, IConstruct, Node

from iot_constructs._stack import StackContext
from iot_constructs._warnings import OTHER_ACCOUNT, warn

if TYPE_CHECKING:
    from aws_cdk import aws_sns as sns

_DOCS: Final = "https://docs.aws.amazon.com"
_TOKEN: Final = "${Token["
_SAME_IN_EVERY_STACK: Final = re.compile(r"\$\{Token\[AWS\.(AccountId|Region|Partition)\.\d+\]\}")
_BY_NAME: Final = frozenset(
    {
        "DevicePolicy.rule",
        "TelemetryRule.dlq_topic",
        "PipelineAlarms.alarm_topic",
        "PipelineAlarms.severity_topics",
    }
)
"""Resources that their constructs refer to themselves: by name where a reference would make a cycle."""
_KEYS: Final = ("encryption_key", "master_key", "encryption_master_key")
_NAMES: Final = (
    "name",
    "bucket_name",
    "delivery_stream_name",
    "function_name",
    "queue_name",
    "rule_name",
    "table_name",
    "topic_name",
)


class _Shared(NamedTuple):
    """An argument that may be of another account."""

    created: bool
    """Also if this app creates the resource: our stack needs its name only, and its policy nothing of ours."""
    remedy: str
    """What the other account has to allow."""


_METRICS: Final = _Shared(
    True,
    "share its metrics with this account "
    f"({_DOCS}/AmazonCloudWatch/latest/monitoring/CloudWatch-Unified-Cross-Account.html)",
)
_ALARM_TOPIC: Final = _Shared(
    True,
    "let cloudwatch.amazonaws.com publish alarms of this account "
    f"({_DOCS}/sns/latest/dg/sns-access-policy-use-cases.html)",
)
_STREAM: Final = _Shared(
    False,
    "let the function's role read it, in the stream's resource policy "
    f"({_DOCS}/lambda/latest/dg/services-kinesis-create.html)",
)
_FAILURES: Final = _Shared(
    False,
    "let the function's role use it and its key "
    f"({_DOCS}/lambda/latest/dg/kinesis-on-failure-destination.html)",
)
_KEY: Final = _Shared(
    False,
    "let this account use the key "
    f"({_DOCS}/kms/latest/developerguide/key-policy-modifying-external-accounts.html)",
)
_OTHER_ACCOUNT: Final[Mapping[str, _Shared]] = {
    "MonitoredStream.encryption_key": _KEY,
    "SecureDataBucket.encryption_key": _KEY,
    "StreamProcessor.stream": _STREAM,
    "TelemetryProcessor.stream": _STREAM,
    "StreamProcessor.on_failure": _FAILURES,
    "StreamProcessor.dlq_topic": _FAILURES,
    "StreamArchive.bucket": _Shared(
        False,
        "let the archive's role write, in the bucket's policy "
        f"({_DOCS}/firehose/latest/dev/controlling-access.html)",
    ),
    "QueryableArchive.bucket": _Shared(
        False,
        "let the role that queries it read it, in the bucket's policy "
        f"({_DOCS}/athena/latest/ug/cross-account-permissions.html)",
    ),
    "TelemetryRule.dlq_topic": _Shared(
        False,
        "let the rule's role publish "
        f"({_DOCS}/iot/latest/developerguide/accessing-cross-account-resources-using-rules.html)",
    ),
    "PipelineAlarms.alarm_topic": _ALARM_TOPIC,
    "PipelineAlarms.severity_topics": _ALARM_TOPIC,
    "PipelineAlarms.stream": _METRICS,
    "PipelineAlarms.processor": _METRICS,
    "PipelineAlarms.dlq_queue": _METRICS,
    "PipelineAlarms.time_series_table": _METRICS,
    "PipelineAlarms.device_state_table": _METRICS,
    "PipelineAlarms.archive": _METRICS,
    "PipelineAlarms.rule": _METRICS,
}
_OTHER_REGION: Final = frozenset({"StreamArchive.bucket"})
"""If imported (AmazonCloudWatch/latest/monitoring/CloudWatch-metric-streams-setup-datalake.html)."""


class _Position(NamedTuple):
    """Where a construct stands, or is about to be created."""

    path: str
    stack: StackContext
    created: bool = True
    """Whether this app creates the construct, and does not import it."""

    @classmethod
    def of(cls, construct: IConstruct) -> _Position:
        """The position of a construct, which never changes: a comparison is no request to Node."""
        found = _POSITIONS.get(construct)
        if found is None:
            node = construct.node
            created = _creates_resource(construct, node)
            found = cls(node.path, StackContext.of(construct), created)
            _POSITIONS[construct] = found
        return found

    @property
    def chain(self) -> tuple[str, ...]:
        """The stack and the nested stacks around the construct, outermost first, and the construct."""
        return (*self.stack.paths, self.path)


class _Argument(NamedTuple):
    """A construct that an argument names."""

    construct: str
    """The class that has the argument."""
    keyword: str
    user: _Position
    used: _Position

    def __str__(self) -> str:
        return f"{self.construct}({self.keyword}={self.used.path!r})"

    @property
    def key(self) -> str:
        return f"{self.construct}.{self.keyword}"

    @property
    def crosses_stages(self) -> bool:
        """CDK refers to a resource of another account by its name, and so crosses no stage."""
        one, other = self.user.stack, self.used.stack
        return one.account == other.account and (one.stage, one.root) != (other.stage, other.root)


class _References:
    """The references between the constructs of one app: which stack, nested stack or construct depends on which."""

    def __init__(self) -> None:
        self.with_key: set[str] = set()
        """Paths of the resources whose key is known."""
        self._constructs: set[str] = set()
        self._edges: dict[str, dict[str, str]] = {}

    def add(self, user: _Position, used: _Position, argument: object) -> None:
        self._constructs.add(user.path)
        edge = self._edge(user, used)
        if edge is not None:
            self._edges.setdefault(edge[0], {}).setdefault(edge[1], str(argument))

    def arguments_back(self, user: _Position, used: _Position) -> list[str]:
        """The arguments by which ``used`` depends on ``user`` already, so that the reverse would make a cycle."""
        edge = self._edge(user, used)
        if edge is None:
            return []
        goal, start = edge
        reached: dict[str, list[str]] = {start: []}
        queue = [start]
        for node in queue:
            for following, argument in self._edges.get(node, {}).items():
                if following not in reached:
                    reached[following] = [*reached[node], argument]
                    queue.append(following)
        return reached.get(goal, [])

    def _edge(self, user: _Position, used: _Position) -> tuple[str, str] | None:
        """Two stacks, or within one stack two of its nested stacks and constructs. None within one construct."""
        chain = (*used.stack.paths, self._construct_of(used.path))
        pairs = zip(user.chain, chain, strict=False)
        return next(((one, other) for one, other in pairs if one != other), None)

    def _construct_of(self, path: str) -> str:
        """The construct of this library that a resource belongs to, or else the resource."""
        parts = path.split("/")
        above = ("/".join(parts[:end]) for end in range(1, len(parts)))
        return next((one for one in above if one in self._constructs), path)


_REFERENCES: WeakKeyDictionary[IConstruct, _References] = WeakKeyDictionary()
_POSITIONS: WeakKeyDictionary[IConstruct, _Position] = WeakKeyDictionary()


def validate_layout(
    construct: str, position: Sequence[Any], arguments: Mapping[str, object]
) -> None:
    """Compare every construct among the arguments with the place of the construct that is about to be created.

    Args:
        construct: its class in this library, also if yours extends it.
        position: its scope and id.
        arguments: its keyword arguments.

    Raises:
        ValueError: it is in another region, account or stage, which does not work, or refers to this place already.
    """
    for keyword, value in arguments.items():
        for resource in _constructs_in(value):
            scope, id = position
            above = _Position.of(scope)
            user = _Position(f"{above.path}/{id}" if above.path else id, above.stack)
            argument = _Argument(construct, keyword, user, _Position.of(resource))
            # A token in the environment variables of a function may well be of another region.
            if not isinstance(value, (str, Mapping)) or keyword == "severity_topics":
                _validate_environment(argument, scope, resource)
            if argument.used.created:
                if argument.crosses_stages:
                    raise ValueError(
                        f"{argument}: it is in {_stage(argument.used)} and {user.path!r} in {_stage(user)}, and stages "
                        "are deployed separately; create both in one stage, or import it by its name, for example "
                        "with kinesis.Stream.from_stream_arn()"
                    )
                _refer_to_key(resource, argument.used)
                if argument.key not in _BY_NAME:
                    _add(argument)


def refer(user: IConstruct, argument: str, resource: IConstruct) -> None:
    """Record that ``user`` refers to ``resource``.

    Args:
        user: a construct.
        argument: what the resource comes from, such as ``"PipelineAlarms.alarm_topic"``.
        resource: of any stack.

    Raises:
        ValueError: the reference would make a cycle.
    """
    used = _Position.of(resource)
    if used.created:
        _refer_to_key(resource, used)
        construct, keyword = argument.split(".")
        _add(_Argument(construct, keyword, _Position.of(user), used))


def can_refer(user: IConstruct, resource: IConstruct) -> bool:
    """Whether a reference would make no cycle."""
    one, other = _Position.of(user), _Position.of(resource)
    return not other.created or not _references(one).arguments_back(one, other)


def topic_arn(user: IConstruct, argument: str, topic: sns.ITopic) -> str:
    """The ARN of a topic: a reference, or, where that would make a cycle, composed of the topic's name.

    Nothing that publishes to a topic checks at its creation that the topic exists
    (AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html).

    Raises:
        ValueError: the reference would make a cycle, and the name is not known.
    """
    if not can_refer(user, topic):
        name = known_name(topic)
        if name is not None:
            return StackContext.of(topic).arn("sns", name)
    refer(user, argument, topic)
    return topic.topic_arn


def add_reader(source: IConstruct, resource: Construct) -> None:
    """Create the writers of a stream or topic that are in the stack of ``resource`` after it."""
    readers, writers = _STARTS.setdefault(source, ([], []))
    readers.append(resource)
    for writer in writers:
        _start_after(writer, resource)


def add_writer(source: IConstruct, resource: Construct) -> None:
    """Create ``resource`` after those that read what it writes to a stream or topic, also after later ones.

    Firehose reads a stream from LATEST, and a topic delivers to its present subscriptions only.
    """
    readers, writers = _STARTS.setdefault(source, ([], []))
    writers.append(resource)
    for reader in readers:
        _start_after(resource, reader)


def _start_after(writer: Construct, reader: Construct) -> None:
    if StackContext.of(writer) is StackContext.of(reader):
        writer.node.add_dependency(reader)


_STARTS: WeakKeyDictionary[IConstruct, tuple[list[Construct], list[Construct]]] = (
    WeakKeyDictionary()
)


def other_account(user: IConstruct, resource: IConstruct) -> str | None:
    """The account of ``resource``, if it is known to be another one than that of ``user``."""
    theirs = _account_and_region(resource)[0]
    ours = StackContext.of(user).account
    return theirs if theirs != ours and _TOKEN not in theirs + ours else None


def known_name(resource: IConstruct) -> str | None:
    """The physical name, if it is known without a reference to the resource."""
    cfn = resource if isinstance(resource, cdk.CfnResource) else resource.node.default_child
    if not isinstance(cfn, cdk.CfnResource):
        return None
    # Of the class: the value of the property is a round trip to Node.
    name = next((getattr(cfn, each) for each in _NAMES if hasattr(type(cfn), each)), None)
    if not isinstance(name, str):
        return None
    return name if _TOKEN not in _SAME_IN_EVERY_STACK.sub("", name) else None


def is_created(resource: IConstruct) -> bool:
    """Whether this app creates the resource, and does not import it."""
    return _Position.of(resource).created


def _creates_resource(resource: object, node: Node) -> bool:
    if not isinstance(resource, Construct):
        return False
    # Of the class: the value of the property takes three round trips to Node.
    if isinstance(resource, cdk.CfnResource) or not hasattr(type(resource), "env"):
        return True
    return isinstance(node.default_child, cdk.CfnResource)


def _references(position: _Position) -> _References:
    return _REFERENCES.setdefault(position.stack.root, _References())


def _add(argument: _Argument) -> None:
    user, used = argument.user, argument.used
    references = _references(user)
    back = references.arguments_back(user, used)
    if back:
        raise ValueError(
            f"{argument}: {user.path!r} in the stack {user.stack.paths[-1]!r} would refer to the stack "
            f"{used.stack.paths[-1]!r}, which refers to it already by {', '.join(back)}; create one of the two in the "
            "stack of the other, or what both refer to in a separate stack"
        )
    references.add(user, used, argument)


def _refer_to_key(resource: IConstruct, user: _Position) -> None:
    """Your resource refers to its key."""
    references = _references(user)
    if user.path in references.with_key:
        return
    references.with_key.add(user.path)
    for name in _KEYS:
        key = getattr(resource, name, None)
        if key is not None and is_created(key):
            references.add(user, _Position.of(key), f"the key of {user.path!r}")


def _constructs_in(value: object) -> Iterator[Any]:
    """The constructs that an argument names, also by a token such as ``table.table_name``."""
    if isinstance(value, str):
        yield from _references_in(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _constructs_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            if not isinstance(item, str):
                yield from _constructs_in(item)
    elif isinstance(value, Construct) or hasattr(value, "node"):  # imported: a proxy of jsii
        yield value
    elif getattr(value, "table_key", None) is not None:  # TableEncryptionV2
        yield value.table_key  # type: ignore[attr-defined]


def _references_in(text: str) -> Iterator[IConstruct]:
    if _TOKEN in text:
        for token in cdk.Tokenization.reverse_string(text).tokens:
            if cdk.Reference.is_reference(token):
                yield token.target  # type: ignore[attr-defined]


def _account_and_region(resource: Any) -> tuple[str, str]:
    position = _Position.of(resource)
    if position.created:
        return position.stack.account, position.stack.region
    return resource.env.account, resource.env.region


def _validate_environment(argument: _Argument, scope: Construct, resource: Any) -> None:
    user, used = argument.user, argument.used
    created = used.created
    account, region = _account_and_region(resource)
    # IAM has no regions.
    if not created and (argument.keyword.endswith("role") or argument.key in _OTHER_REGION):
        region = user.stack.region
    for what, theirs, ours in (
        ("region", region, user.stack.region),
        ("account", account, user.stack.account),
    ):
        if theirs == ours or (_TOKEN in theirs + ours and not created):  # known at deployment
            continue
        if _TOKEN in theirs + ours:
            raise ValueError(
                f"{argument}: the {what} of the stack {used.stack.paths[0]!r} or {user.stack.paths[0]!r} is not known; "
                "pass the same env= to both"
            )
        shared = _OTHER_ACCOUNT.get(argument.key) if what == "account" else None
        if shared is not None and not created:
            text = f"{argument} is in the account {theirs}, which has to {shared.remedy}"
            warn(scope, OTHER_ACCOUNT, text)
        elif shared is None or not shared.created:
            raise ValueError(
                f"{argument}: it is in the {what} {theirs} and {user.path!r} in {ours}; create both in one {what}"
                f"{'' if shared is None else ', or import it by its ARN'}"
            )
        elif hasattr(resource, "env") and known_name(resource) is None:
            raise ValueError(
                f"{argument}: it is in the account {theirs} and has no name by which {user.path!r} in {ours} could "
                "refer to it; give it a name"
            )


def _stage(position: _Position) -> str:
    return f"the stage {position.stack.stage!r}" if position.stack.stage else "no stage"
