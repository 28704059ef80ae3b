"""The CDK app: `cdk deploy` creates the environment dev, `cdk deploy -c environmentSuffix=prod` creates prod."""

from __future__ import annotations

import aws_cdk as cdk

from stack import OneConstructStack

app = cdk.App()
OneConstructStack(app, "OneConstruct")
app.synth()
