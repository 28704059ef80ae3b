"""The CDK app: ``cdk deploy -c environmentSuffix=prod`` makes the environment ``prod``; without it, ``dev``."""

from __future__ import annotations

import os

import aws_cdk as cdk

if __package__:
    from .stack import IotPipelineStack
else:  # run as a script, which is what cdk.json does
    from stack import IotPipelineStack  # type: ignore[import-not-found,no-redef]


def create_app() -> cdk.App:
    """The app with its one stack; account and region are those of the CLI, or stay open without one."""
    app = cdk.App()
    account, region = os.environ.get("CDK_DEFAULT_ACCOUNT"), os.environ.get("CDK_DEFAULT_REGION")
    env = cdk.Environment(account=account, region=region) if account and region else None
    IotPipelineStack(app, "IotPipeline", env=env)
    return app


if __name__ == "__main__":
    create_app().synth()
