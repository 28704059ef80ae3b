"""What the constructs ask of Node, beside the same by hand."""

from __future__ import annotations

from bench.synth.by_hand import ByHandStack
from examples.iot_pipeline.stack import IotPipelineStack
from tests.round_trips import counted
from tests.synth_support import fresh_app

SHARE_OF_BY_HAND = 1.6
"""Of the round trips. Ours also answers scanners, finds its suffix, and hands out grants that stay open."""


def test_the_pipeline_asks_little_more_than_by_hand() -> None:
    """A figure that no other load on the machine can change, unlike the times that `make bench` takes."""
    with counted() as ours:
        IotPipelineStack(fresh_app(), "IotPipeline", environment_suffix="dev")
    with counted() as by_hand:
        ByHandStack(fresh_app(), "IotPipeline")
    assert ours() <= SHARE_OF_BY_HAND * by_hand(), (ours(), by_hand())
