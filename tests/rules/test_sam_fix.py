"""Fixes of resources that SAM generates are YAML for the event of the author."""

from __future__ import annotations

from iot_constructs.rules.sam_fix import in_file

EVENT = ("Resources", "Consumer", "Properties", "Events", "Readings")


def test_a_fix_of_the_mapping_is_one_of_the_event() -> None:
    fix = """\
ConsumerReadings:
  Properties:
    DestinationConfig:
      OnFailure:
        Destination: !Ref ConsumerReadingsDlq
ConsumerReadingsDlq:
  Type: AWS::SNS::Topic
"""
    assert (
        in_file(fix, "ConsumerReadings", EVENT)
        == """\
Consumer:
  Properties:
    Events:
      Readings:
        Properties:
          DestinationConfig:
            OnFailure:
              Destination: !Ref ConsumerReadingsDlq
ConsumerReadingsDlq:
  Type: AWS::SNS::Topic
"""
    )


def test_the_payload_of_an_iot_rule_is_the_event_itself() -> None:
    fix = "ConsumerRule:\n  Properties:\n    TopicRulePayload:\n      AwsIotSqlVersion: '2016-03-23'\n"
    event = (*EVENT[:-1], "Rule")
    assert (
        in_file(fix, "ConsumerRule", event)
        == """\
Consumer:
  Properties:
    Events:
      Rule:
        Properties:
          AwsIotSqlVersion: '2016-03-23'
"""
    )


def test_what_an_event_does_not_have_is_said() -> None:
    fix = "ConsumerRule:\n  Properties:\n    TopicRulePayload:\n      ErrorAction: {}\n"
    fixed = in_file(fix, "ConsumerRule", (*EVENT[:-1], "Rule"))
    assert fixed == (
        "# SAM has no ErrorAction: write an AWS::IoT::TopicRule instead of the event.\n" + fix
    )


def test_a_fix_of_a_resource_of_the_author_stays() -> None:
    fix = "Consumer:\n  Properties:\n    A: 1\n"
    assert in_file(fix, "Consumer", ("Resources", "Consumer")) == fix
