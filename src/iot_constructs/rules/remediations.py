"""Fixes, and the parts that several of them share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from textwrap import indent
from typing import Final

from iot_constructs.rules.overrides import overrides

CLOUDWATCH: Final = "cloudwatch.amazonaws.com"

_LOGICAL_ID: Final = "<LogicalId>"


@dataclass(frozen=True)
class Remediation:
    """The code that ends a finding, to be typed as it is.

    Attributes:
        cdk: Python for a CDK app: keyword arguments of the construct, or statements. Empty if there is none.
            ``<LogicalId>`` in it makes the id of a construct unique.
        cloudformation: YAML to merge into ``Resources`` of the template; ``<LogicalId>`` stands for the resource.
        l1: the same as ``cdk`` for a resource that is declared with its L1 construct, where it differs. By default,
            overrides of the properties in ``cloudformation``, if it does nothing else.
    """

    cdk: str
    cloudformation: str
    l1: str = ""

    def of(self, logical_id: str) -> Remediation:
        """Return the fix of one resource."""
        texts = (self.cdk, self.cloudformation, self.l1)
        return Remediation(*(text.replace(_LOGICAL_ID, logical_id) for text in texts))

    def of_l1(self, type: str) -> Remediation:
        """Return the fix of a resource of ``type`` that is declared with its L1 construct."""
        return replace(self, cdk=self.l1 or overrides(self.cloudformation, type) or self.cdk)


def set_properties(cdk: str, properties: str) -> Remediation:
    """Return a fix that sets properties of the resource: keyword arguments for CDK, and YAML."""
    return Remediation(cdk, f"{_LOGICAL_ID}:\n  Properties:\n{indent(properties, ' ' * 4)}")


FAILURE_BUCKET: Final = (
    'self.node.try_find_child("Failures") or '
    'SecureDataBucket(self, "Failures", bucket_name=f"failures-{self.node.addr[-8:]}")'
)
"""A bucket for failed records, for the code of a fix: one for all of a stack, with a name that no other stack has."""


def deny_plain_http(action: str, *resources: str) -> str:
    """Return the YAML of the statement that CDK's ``enforce_ssl`` adds to a policy."""
    return f"""\
        - Effect: Deny
          Principal: "*"
          Action: {action}
          Resource: [{", ".join(resources)}]
          Condition: {{Bool: {{aws:SecureTransport: "false"}}}}
"""


def topic_policy(topic: str, *statements: str) -> str:
    """Return the YAML of a topic's policy: TLS only, and ``statements``."""
    return f"""\
{topic}Policy:
  Type: AWS::SNS::TopicPolicy
  Properties:
    Topics: [{{Ref: {topic}}}]
    PolicyDocument:
      Version: "2012-10-17"
      Statement:
{deny_plain_http("sns:Publish", f"{{Ref: {topic}}}")}{"".join(statements)}"""


def email_topic(id: str) -> str:
    """Return the YAML of a topic that notifies by email, which roles of the account can publish to without a key."""
    return f"""\
{id}:
  Type: AWS::SNS::Topic
  Properties:
    KmsMasterKeyId: alias/aws/sns
    Subscription: [{{Protocol: email, Endpoint: ops@example.com}}]
{topic_policy(id)}"""


def topic_key(key: str, *services: str) -> str:
    """Return the YAML of a key for a topic that ``services`` publish to. Not all of them send the account."""
    return f"""\
{key}:  # a role that publishes needs kms:Decrypt and kms:GenerateDataKey*
  Type: AWS::KMS::Key
  Properties:
    EnableKeyRotation: true
    KeyPolicy:
      Version: "2012-10-17"
      Statement:
        - Effect: Allow
          Principal: {{AWS: {{"Fn::Sub": "arn:${{AWS::Partition}}:iam::${{AWS::AccountId}}:root"}}}}
          Action: kms:*
          Resource: "*"
        - Effect: Allow
          Principal: {{Service: [{", ".join(services)}]}}
          Action: [kms:Decrypt, "kms:GenerateDataKey*"]
          Resource: "*"
          Condition: {{StringEqualsIfExists: {{aws:SourceAccount: {{Ref: AWS::AccountId}}}}}}
"""
