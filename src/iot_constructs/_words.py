"""The words that physical names begin and end with, validated without the CDK, which takes a second to import."""

from __future__ import annotations

import re
from typing import Final

from iot_constructs import _defaults as defaults

BUCKET_NAME_RULES: Final = (
    "https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"
)
SUFFIX_KEYWORD: Final = "environment_suffix"

_WORDS: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def name_part(keyword: str, value: object, *, default: str, longest: int) -> str:
    """Return ``value`` in lower case.

    Raises:
        ValueError: it is not valid as a part of every physical name.
    """
    if not isinstance(value, str):
        raise ValueError(f"{keyword}={value!r}: pass a string, for example {default!r}")
    lowered = value.lower()
    # Lowering turns the Kelvin sign into an ordinary k, so look at the original.
    if not value.isascii() or not _WORDS.fullmatch(lowered):
        raise ValueError(
            f"{keyword}={value!r}: pass words of a-z and 0-9 joined by single hyphens, for example "
            f"{default!r}"
        )
    if len(lowered) > longest:
        raise ValueError(
            f"{keyword}={value!r}: {len(lowered)} characters do not fit into a bucket name; pass at "
            f"most {longest} ({BUCKET_NAME_RULES})"
        )
    return lowered


def environment_suffix(value: object) -> str:
    """Return an environment suffix in lower case.

    Raises:
        ValueError: it is not legal.
    """
    return name_part(
        SUFFIX_KEYWORD,
        value,
        default=defaults.ENVIRONMENT_SUFFIX,
        longest=defaults.ENVIRONMENT_SUFFIX_MAX_LENGTH,
    )
