"""The CDK app."""

from __future__ import annotations

import aws_cdk as cdk

from stack import ExistingAppStack

app = cdk.App()
ExistingAppStack(app, "ExistingApp")
app.synth()
