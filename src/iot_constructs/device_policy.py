"""DevicePolicy: what a device may do, which is to speak for itself and for no other device."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from aws_cdk import aws_iot as iot
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._pipeline_construct import PipelineConstruct
from iot_constructs._place import Place
from iot_constructs._validate import is_token
from iot_constructs.environment import EnvironmentSuffix

_THING = "${iot:Connection.Thing.ThingName}"
_ATTACHED = "iot:Connection.Thing.IsAttached"
# In a policy * and ? match anything, slashes included, ${ begins a variable, and + and # mean themselves
# (docs.aws.amazon.com/iot/latest/developerguide/pub-sub-policy.html).
_NOT_IN_A_LEVEL = ("*", "?", "#", "+", "${")


class DevicePolicy(PipelineConstruct):
    """An IoT policy for all devices, which lets each one use the topics with its own thing name in them.

    The device id that a TelemetryRule takes from the topic is as good as this policy: without one like it, any device
    can publish as any other.

    * Connect under the thing's name only, as client id: a second device cannot take over a connection.
    * Publish to ``device/+/telemetry`` only, with the thing's name in place of the ``+``. Retained messages are not
      allowed: nothing in a pipeline of telemetry reads them.
    * Nothing is received unless ``subscribe_topics`` says so. Then Subscribe is on ``topicfilter/`` and Receive on
      ``topic/``, with the thing's name: a filter with a wildcard in it is refused.
    * Each statement asks that the certificate is attached to the thing. A certificate alone can do nothing; one that is
      attached to two things can be either, so attach it exclusively (``EXCLUSIVE_THING``).

    Attach it to the certificates or to a thing group, by ``policy_name``. On AWS a changed policy takes up to 8 minutes
    to be in force, and one that is attached cannot be deleted: detach it before its stack goes. The thing's name is
    known on MQTT connections; publishing over HTTPS is refused.

    Args:
        policy_name: stem; the policy is called ``stem-suffix``.
        publish_topics: where a device may publish. Each has one level ``+``, which stands for the name of the thing, as
            in the topic filter of the TelemetryRule.
        subscribe_topics: what a device may subscribe to and receive, in the same form, for example
            ``device/+/commands``.
        environment_suffix: None takes it from the surroundings.

    Raises:
        ValueError: a topic has no level ``+``, more than one, or another wildcard; two topics are one and the same for
            two different things; the policy gets longer than AWS allows; the name breaks IoT's rules or is taken.

    Example::

        from iot_constructs import DevicePolicy

        policy = DevicePolicy(stack, "Devices", subscribe_topics=["device/+/commands"])
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        policy_name: str = defaults.DEVICE_POLICY_NAME,
        publish_topics: Sequence[str] = (defaults.TOPIC_FILTER,),
        subscribe_topics: Sequence[str] = (),
        environment_suffix: str | EnvironmentSuffix | None = None,
    ) -> None:
        super().__init__(scope, id, environment_suffix)
        _check_topics("publish_topics", publish_topics)
        _check_topics("subscribe_topics", subscribe_topics)
        _check_that_each_topic_has_one_thing([*publish_topics, *subscribe_topics])
        _check_length(self._place, publish_topics, subscribe_topics)
        suffix = self._suffix
        self.policy_name = naming.physical_name(self, naming.DEVICE_POLICY, policy_name, suffix)
        """The physical name."""

        self.policy = self._create_policy(publish_topics, subscribe_topics)
        """The IoT policy."""

    def _create_policy(
        self, publish_topics: Sequence[str], subscribe_topics: Sequence[str]
    ) -> iot.CfnPolicy:
        place = self._place
        return iot.CfnPolicy(
            self,
            "Policy",
            policy_name=self.policy_name,
            policy_document=_document(
                f"arn:{place.partition}:iot:{place.region}:{place.account}:",
                publish_topics,
                subscribe_topics,
            ),
        )

    @property
    def policy_arn(self) -> str:
        """The ARN."""
        return self.policy.attr_arn


def _document(
    arn: str, publish_topics: Sequence[str], subscribe_topics: Sequence[str]
) -> dict[str, Any]:
    """The policy; every ARN in it begins with ``arn``."""
    granted = [
        ("iot:Connect", "client", ["+"]),
        ("iot:Publish", "topic", publish_topics),
        ("iot:Subscribe", "topicfilter", subscribe_topics),
        ("iot:Receive", "topic", subscribe_topics),
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": action,
                "Resource": [f"{arn}{kind}/{_topic_of(_THING, topic)}" for topic in topics],
                "Condition": {"Bool": {_ATTACHED: "true"}},
            }
            for action, kind, topics in granted
            if topics
        ],
    }


def _topic_of(thing: str, topic: str) -> str:
    """The topic with the name of a thing in its place."""
    return topic.replace("+", thing)


def _check_topics(argument: str, topics: Sequence[str]) -> None:
    if isinstance(topics, str):
        raise ValueError(
            f"{argument}={topics!r} is one topic; pass a list: {argument}=[{topics!r}]"
        )
    for topic in topics:
        if is_token(topic):
            raise ValueError(
                f"{argument} has {topic!r}, a token, which cannot be checked; pass a literal string"
            )
        others = [level for level in topic.split("/") if level != "+"]
        if len(others) != topic.count("/"):
            raise ValueError(
                f"{argument} has {topic!r}, in which {topic.count('/') + 1 - len(others)} levels are '+'; exactly one "
                "is, and stands for the name of the thing: for example 'device/+/telemetry' (FACTS 12)"
            )
        wrong = [sign for sign in _NOT_IN_A_LEVEL if any(sign in level for level in others)]
        if wrong:
            raise ValueError(
                f"{argument} has {topic!r} with {wrong[0]!r} in a level: such a policy lets a device into the topics "
                "of others, or into none; name each topic, with one level '+' for the name of the thing"
            )


def _check_that_each_topic_has_one_thing(topics: Sequence[str]) -> None:
    """``a/+/c`` and ``a/b/+`` are one topic for the things ``b`` and ``c``: one could speak for the other."""
    for one, other in itertools.combinations(topics, 2):
        levels, other_levels = one.split("/"), other.split("/")
        if len(levels) != len(other_levels):
            continue
        thing = other_levels[levels.index("+")]
        other_thing = levels[other_levels.index("+")]
        if thing != other_thing and _topic_of(thing, one) == _topic_of(other_thing, other):
            raise ValueError(
                f"{one!r} and {other!r} are both {_topic_of(thing, one)!r}, one for the thing {thing!r} and one for "
                f"the thing {other_thing!r}; put the '+' into the same level of both"
            )


def _check_length(
    place: Place, publish_topics: Sequence[str], subscribe_topics: Sequence[str]
) -> None:
    """AWS does not count white space, and nothing else checks it before the deployment."""
    known = [
        length if is_token(value) else len(value)
        for value, length in (
            (place.partition, defaults.LONGEST_PARTITION),
            (place.region, defaults.LONGEST_REGION),
            (place.account, defaults.LONGEST_ACCOUNT),
        )
    ]
    arn = "x" * (len("arn::iot:::") + sum(known))
    text = json.dumps(_document(arn, publish_topics, subscribe_topics), separators=(",", ":"))
    if len(text) > defaults.DEVICE_POLICY_MAX_LENGTH:
        raise ValueError(
            f"the policy for publish_topics={list(publish_topics)!r} and subscribe_topics={list(subscribe_topics)!r} "
            f"has up to {len(text)} characters and AWS allows {defaults.DEVICE_POLICY_MAX_LENGTH} (CreatePolicy API); "
            "put some topics into a second DevicePolicy and attach both"
        )
