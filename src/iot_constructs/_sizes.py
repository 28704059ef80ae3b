"""Sizes of storage, asked of CDK once."""

from __future__ import annotations

from functools import lru_cache

import aws_cdk as cdk

from iot_constructs._asked_once import Question

mebibytes_of: Question[cdk.Size, float] = Question(lambda size: size.to_mebibytes())


@lru_cache
def of_mebibytes(mebibytes: int) -> cdk.Size:
    """A size, the same for the same number: CDK's sizes do not change."""
    size = cdk.Size.mebibytes(mebibytes)
    mebibytes_of.know(size, mebibytes)
    return size
