"""What each app does when it is run as a program."""

from __future__ import annotations

import os
from collections.abc import Callable

import aws_cdk as cdk


def synthesize(build: Callable[[cdk.App], cdk.Stack]) -> None:
    """Writes the app's templates to $CDK_OUTDIR, as for the CDK CLI, or to cdk.out."""
    app = cdk.App(outdir=os.environ.get("CDK_OUTDIR", "cdk.out"))
    build(app)
    app.synth()
