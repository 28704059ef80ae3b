"""What must not change unnoticed. Add a test for each thing that you rely on."""

from __future__ import annotations

from aws_cdk.assertions import Match, Template


def test_the_stream_stays_as_it_was(template: Template) -> None:
    template.has_resource_properties("AWS::Kinesis::Stream", {"RetentionPeriodHours": 48})


def test_a_failed_batch_goes_to_the_dead_letter_topic(template: Template) -> None:
    template.has_resource_properties(
        "AWS::Lambda::EventSourceMapping",
        {
            "BisectBatchOnFunctionError": True,
            "DestinationConfig": {"OnFailure": {"Destination": Match.any_value()}},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
    )
