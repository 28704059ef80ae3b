"""A processor of your own, with Powertools for AWS Lambda."""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from iot_constructs import MonitoredStream, PipelineAlarms, StreamProcessor, SuffixedStack

# Powertools is published as a layer in every region; AWS keeps its ARN in this public parameter.
POWERTOOLS_LAYER = "/aws/service/powertools/python/arm64/python3.13/latest"


class OverheatingStack(SuffixedStack):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        stream = MonitoredStream(self, "Stream")
        powertools = lambda_.LayerVersion.from_layer_version_arn(
            self,
            "Powertools",
            ssm.StringParameter.value_for_string_parameter(self, POWERTOOLS_LAYER),
        )
        processor = StreamProcessor(
            self,
            "Processor",
            stream=stream,
            code=lambda_.Code.from_asset(
                str(Path(__file__).with_name("function")), exclude=["__pycache__"]
            ),
            runtime=lambda_.Runtime.PYTHON_3_13,  # that of the layer
            layers=[powertools],
            environment={
                "HOTTEST": "85",
                "POWERTOOLS_SERVICE_NAME": "overheating",
                "POWERTOOLS_METRICS_NAMESPACE": "Machines",
            },
        )
        PipelineAlarms(self, "Alarms", stream=stream, processor=processor)


if __name__ == "__main__":
    app = cdk.App()
    OverheatingStack(app, "Overheating")
    app.synth()
