"""What must not change unnoticed. Add a test for each thing that you rely on."""

from __future__ import annotations

from aws_cdk.assertions import Match, Template


def test_names_end_in_the_environment(template: Template) -> None:
    template.has_resource_properties(
        "AWS::Kinesis::Stream", {"Name": "iot-sensor-data-stream-test"}
    )


def test_a_failed_batch_goes_to_the_dead_letter_topic(template: Template) -> None:
    template.has_resource_properties(
        "AWS::Lambda::EventSourceMapping",
        {
            "BisectBatchOnFunctionError": True,
            "DestinationConfig": {"OnFailure": {"Destination": Match.any_value()}},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        },
    )


def test_every_reading_is_kept_for_the_time_of_the_table(template: Template) -> None:
    template.has_resource_properties(
        "AWS::DynamoDB::GlobalTable",
        {
            "TableName": "iot-sensor-metrics-test",
            "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": True},
        },
    )


def test_a_message_on_the_dead_letter_queue_is_an_alarm(template: Template) -> None:
    template.has_resource_properties(
        "AWS::CloudWatch::Alarm",
        {"AlarmName": "iot-lambda-dlq-messages-test", "AlarmActions": Match.any_value()},
    )
