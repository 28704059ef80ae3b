"""Rules for the protection of messages and records: encryption at rest of streams, queues and topics, and TLS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from iot_constructs.rules.graph import Graph
from iot_constructs.rules.pipeline import QUEUE, STREAM, TOPIC, Pipeline
from iot_constructs.rules.policies import ResourcePolicies
from iot_constructs.rules.remediations import (
    CLOUDWATCH,
    Remediation,
    deny_plain_http,
    set_properties,
    topic_key,
    topic_policy,
)
from iot_constructs.rules.rule import DOCS, Finding, Rule
from iot_constructs.rules.template import Resource

# The actions that transfer messages, which a policy has to deny without TLS.
_TRANSFERS: Final = {
    TOPIC: ("sns:Publish",),
    QUEUE: ("sqs:SendMessage", "sqs:ReceiveMessage"),
}


def _topic_key(services: Sequence[str] = (CLOUDWATCH,)) -> Remediation:
    """Return the fix with a key for a topic that ``services`` publish to.

    It is not the AWS managed key alias/aws/sns, which they cannot use. Not all of them send the account.
    """
    principals = ", ".join(f'iam.ServicePrincipal("{it}")' for it in services)
    key = f"""kms.Key(
    self,
    "<LogicalId>Key",
    enable_key_rotation=True,
    policy=iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                principals=[iam.AccountRootPrincipal()], actions=["kms:*"], resources=["*"]
            ),
            iam.PolicyStatement(
                principals=[{principals}],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={{"StringEqualsIfExists": {{"aws:SourceAccount": self.account}}}},
            ),
        ]
    ),
)"""
    return Remediation(
        f"master_key={key}",
        "<LogicalId>:\n  Properties:\n    KmsMasterKeyId: {Ref: <LogicalId>Key}\n"
        + topic_key("<LogicalId>Key", *services),
        f"""key = {key}
topic.kms_master_key_id = key.key_arn  # a role that publishes needs key.grant_encrypt_decrypt(role)""",
    )


class EncryptionAtRest(Rule):
    """Reports streams, queues and topics that store their data without server-side encryption."""

    id = "IOT_29_ENCRYPTION_AT_REST"
    info = (
        "Every Kinesis stream, SQS queue and SNS topic has server-side encryption; SQS encrypts a "
        "queue that does not set it, Kinesis and SNS do not."
    )
    explanation = (
        "Readings and failed records are stored in them, for days in a stream or a dead-letter "
        "queue, and an audit requires encryption wherever they are."
    )
    remediations: ClassVar = {
        STREAM: set_properties(
            "encryption=kinesis.StreamEncryption.MANAGED",
            "StreamEncryption:\n  EncryptionType: KMS\n  KeyId: alias/aws/kinesis",
        ),
        QUEUE: set_properties(
            "encryption=sqs.QueueEncryption.SQS_MANAGED", "SqsManagedSseEnabled: true"
        ),
        TOPIC: _topic_key(),
    }
    source_url = (
        f"{DOCS}/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-server-side-encryption.html"
    )

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find unencrypted streams, queues and topics."""
        graph = pipeline.graph
        for stream in graph.of_type(STREAM):
            if not _is_set(graph, stream, "StreamEncryption"):
                yield self.finding(
                    stream, "not encrypted at rest: no StreamEncryption", "Properties"
                )
        for queue in graph.of_type(QUEUE):
            turned_off = all(
                it is not None and graph.flag(it, queue.template) is False
                for it in graph.at(queue.properties, "SqsManagedSseEnabled")
            )
            if turned_off and not _is_set(graph, queue, "KmsMasterKeyId"):
                yield self.finding(
                    queue,
                    "not encrypted at rest: SqsManagedSseEnabled is false, and no KmsMasterKeyId",
                    "Properties/SqsManagedSseEnabled",
                )
        policies = ResourcePolicies(graph, TOPIC)
        for topic in graph.of_type(TOPIC):
            if not _is_set(graph, topic, "KmsMasterKeyId"):
                publishers = {
                    service
                    for statement in policies.of(topic)
                    if statement.allows("sns:Publish")
                    for service in statement.services
                }
                yield self.finding(
                    topic,
                    "not encrypted at rest: no KmsMasterKeyId",
                    "Properties",
                    " ".join(sorted(publishers - {CLOUDWATCH})),
                )

    def variant(self, finding: Finding) -> Remediation:
        """Return the fix with a key for all services that publish to the topic."""
        if finding.resource_type == TOPIC:
            return _topic_key((CLOUDWATCH, *finding.value.split()))
        return super().variant(finding)


_OWNER_PUBLISH: Final = """\
        - Effect: Allow  # as in the default policy, which any other one replaces
          Principal: "*"
          Action: sns:Publish
          Resource: {Ref: <LogicalId>}
          Condition: {StringEquals: {"AWS:SourceOwner": {Ref: AWS::AccountId}}}
"""


class TlsOnlyMessaging(Rule):
    """Reports queues and topics that accept plain HTTP."""

    id = "IOT_30_TLS_ONLY_MESSAGING"
    info = (
        "The policy of every SQS queue and SNS topic denies requests without TLS: sqs:SendMessage "
        "and sqs:ReceiveMessage of a queue, sns:Publish of a topic."
    )
    explanation = (
        "The endpoints of both services accept plain HTTP, which exposes messages in transit."
    )
    # The policy of a topic replaces its default policy, which allows CloudWatch and others of the account to publish.
    remediations: ClassVar = {
        TOPIC: Remediation(
            """topic.add_to_resource_policy(
    iam.PolicyStatement(
        effect=iam.Effect.DENY,
        principals=[iam.AnyPrincipal()],
        actions=["sns:Publish"],
        resources=[topic.topic_arn],
        conditions={"Bool": {"aws:SecureTransport": "false"}},
    )
)
topic.add_to_resource_policy(  # as in the default policy, which any other one replaces
    iam.PolicyStatement(
        principals=[iam.AnyPrincipal()],
        actions=["sns:Publish"],
        resources=[topic.topic_arn],
        conditions={"StringEquals": {"AWS:SourceOwner": self.account}},
    )
)""",
            "# If there is a policy already, add the statements to it.\n"
            + topic_policy("<LogicalId>", _OWNER_PUBLISH),
            """sns.CfnTopicPolicy(
    topic,
    "Policy",
    topics=[topic.ref],
    policy_document=iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["sns:Publish"],
                resources=[topic.ref],
                conditions={"Bool": {"aws:SecureTransport": "false"}},
            ),
            iam.PolicyStatement(  # as in the default policy, which any other one replaces
                principals=[iam.AnyPrincipal()],
                actions=["sns:Publish"],
                resources=[topic.ref],
                conditions={"StringEquals": {"AWS:SourceOwner": self.account}},
            ),
        ]
    ),
)""",
        ),
        QUEUE: Remediation(
            "enforce_ssl=True",
            """\
<LogicalId>Policy:  # if there is one already, add the statement to it
  Type: AWS::SQS::QueuePolicy
  Properties:
    Queues: [{Ref: <LogicalId>}]
    PolicyDocument:
      Version: "2012-10-17"
      Statement:
"""
            + deny_plain_http("sqs:*", "{'Fn::GetAtt': [<LogicalId>, Arn]}"),
            """sqs.CfnQueuePolicy(
    queue,
    "Policy",
    queues=[queue.ref],
    policy_document=iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["sqs:*"],
                resources=[queue.attr_arn],
                conditions={"Bool": {"aws:SecureTransport": "false"}},
            )
        ]
    ),
)""",
        ),
    }
    source_url = f"{DOCS}/sns/latest/dg/sns-security-best-practices.html"

    def check(self, pipeline: Pipeline) -> Iterator[Finding]:
        """Find queues and topics whose policies do not deny plain HTTP."""
        for type, actions in _TRANSFERS.items():
            policies = ResourcePolicies(pipeline.graph, type)
            for resource in pipeline.graph.of_type(type):
                open_actions = _open_to_plain_http(resource, policies, actions)
                if open_actions:
                    yield self.finding(
                        resource,
                        f"no policy denies {' and '.join(open_actions)} over plain HTTP "
                        "(aws:SecureTransport false)",
                    )


def _is_set(graph: Graph, resource: Resource, property_name: str) -> bool:
    return any(it not in (None, "") for it in graph.at(resource.properties, property_name))


def _open_to_plain_http(
    resource: Resource, policies: ResourcePolicies, actions: tuple[str, ...]
) -> list[str]:
    denials = policies.denials_of_plain_http(resource)
    if denials is None:
        return []
    ours = [
        statement
        for statement in denials
        if any(policies.covers(resource, it, statement) for it in statement.resources)
    ]
    return [action for action in actions if not any(it.has(action) for it in ours)]


RULES: Final = (EncryptionAtRest(), TlsOnlyMessaging())
