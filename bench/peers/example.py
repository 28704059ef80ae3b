"""Our example, once or as many times as the argument says: a stack each, under a suffix of its own."""

import sys

import aws_cdk as cdk

from examples.iot_pipeline.stack import IotPipelineStack

app = cdk.App()
for number in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
    IotPipelineStack(app, f"IotPipeline{number}", environment_suffix=f"dev-{number}")
app.synth()
