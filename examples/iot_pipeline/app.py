"""The CDK app: `cdk deploy` creates the environment dev, `cdk deploy -c environmentSuffix=prod` creates prod."""

from __future__ import annotations

import os

import aws_cdk as cdk

from stack import IotPipelineStack

app = cdk.App()
IotPipelineStack(
    app,
    "IotPipeline",
    # Those of your AWS credentials. Without any, the template works in every account and Region.
    env=cdk.Environment(
        account=os.getenv("CDK_DEFAULT_ACCOUNT"), region=os.getenv("CDK_DEFAULT_REGION")
    ),
    alarm_email=app.node.try_get_context("alarmEmail"),
)
app.synth()
