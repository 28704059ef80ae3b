"""The CDK app: ``cdk deploy -c environmentSuffix=prod`` makes the environment ``prod``; without it, ``dev``."""

from __future__ import annotations

import os

import aws_cdk as cdk

if __package__:
    from . import nag_suppressions
    from .stack import IotPipelineStack
else:  # run as a script, which is what cdk.json does
    import nag_suppressions  # type: ignore[import-not-found,no-redef]
    from stack import IotPipelineStack  # type: ignore[import-not-found,no-redef]


def create_app() -> cdk.App:
    """The app with its one stack; account and region are those of the CLI, or stay open without one."""
    app = cdk.App()
    account, region = os.environ.get("CDK_DEFAULT_ACCOUNT"), os.environ.get("CDK_DEFAULT_REGION")
    env = cdk.Environment(account=account, region=region) if account and region else None
    add_pipeline(app, env=env)
    return app


def add_pipeline(
    app: cdk.App,
    *,
    environment_suffix: str | None = None,
    env: cdk.Environment | None = None,
) -> IotPipelineStack:
    """One environment of the pipeline, with what this app decides about it."""
    stack = IotPipelineStack(
        app,
        "IotPipeline",
        environment_suffix=environment_suffix,
        env=env,
        alarm_email=app.node.try_get_context("alarmEmail"),
    )
    nag_suppressions.suppress_inline_policies(stack)
    nag_suppressions.suppress_vpc(stack.processor.function)
    for bucket in (stack.data, stack.data.access_logs_bucket):
        nag_suppressions.suppress_bucket_rules(bucket)
    return stack


if __name__ == "__main__":
    create_app().synth()
