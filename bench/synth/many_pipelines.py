"""An app of many pipelines, a stack each: ``python many_pipelines.py 50``."""

from __future__ import annotations

import sys
from pathlib import Path

import aws_cdk as cdk

if not __package__:  # run as a script, whose own folder alone is on the path
    sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench.peers.app_main import synthesize
from examples.iot_pipeline.stack import IotPipelineStack


def main(count: int) -> None:
    """Build and synthesize ``count`` pipelines, each under a suffix of its own."""

    def build(app: cdk.App) -> cdk.Stack:
        stacks = [
            IotPipelineStack(app, f"IotPipeline{number}", environment_suffix=f"dev-{number}")
            for number in range(1, count + 1)
        ]
        return stacks[-1]

    synthesize(build)


if __name__ == "__main__":
    main(int(sys.argv[1]))
