"""An app with one bucket: what any CDK app costs before it has anything in it."""

from __future__ import annotations

import sys
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3

if not __package__:  # run as a script, whose own folder alone is on the path
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench.peers.app_main import synthesize


def build(app: cdk.App) -> cdk.Stack:
    """Adds the stack to ``app``."""
    stack = cdk.Stack(app, "OneBucket")
    s3.Bucket(stack, "Bucket")
    return stack


if __name__ == "__main__":
    synthesize(build)
