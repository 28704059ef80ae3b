"""An app of many pipelines, a stack each: ``python many_pipelines.py ours 50``, or ``by_hand``."""

from __future__ import annotations

import sys
from pathlib import Path

import aws_cdk as cdk

if not __package__:  # run as a script, whose own folder alone is on the path
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench.peers.app_main import synthesize
from bench.synth.by_hand import ByHandStack
from examples.iot_pipeline.stack import IotPipelineStack


def add_ours(app: cdk.App, number: int) -> cdk.Stack:
    """The example's stack under a suffix of its own."""
    return IotPipelineStack(app, f"IotPipeline{number}", environment_suffix=f"dev-{number}")


def add_by_hand(app: cdk.App, number: int) -> cdk.Stack:
    """The stack written by hand; it has the names of one environment, which nobody checks at synth."""
    return ByHandStack(app, f"IotPipeline{number}")


KINDS = {"ours": add_ours, "by_hand": add_by_hand}


def main(kind: str, count: int) -> None:
    """Build and synthesize ``count`` of a kind."""

    def build(app: cdk.App) -> cdk.Stack:
        return [KINDS[kind](app, number) for number in range(1, count + 1)][-1]

    synthesize(build)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
