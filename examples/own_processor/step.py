"""Your own step: the readings of machines in Celsius, with the line that each machine belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

HOTTEST = Decimal(os.environ["HOTTEST"])  # degrees Celsius
LINES = {"press": "A", "lathe": "B"}


def transform(reading: dict[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the reading to store: the same one if a record is delivered again, so without a clock or a counter."""
    fahrenheit = reading.get("temperature")
    if not isinstance(fahrenheit, Decimal):  # as every number of a payload is
        raise ValueError("temperature is not a number")  # to the dead-letter queue, with this text
    # The device by the topic that it published on; a name in the payload is what the device claims.
    kind = record["partitionKey"].partition("-")[0]
    celsius = round((fahrenheit - 32) * 5 / 9, 2)
    return {
        **reading,
        "temperature": celsius,
        "line": LINES.get(kind, "unknown"),
        "hot": celsius > HOTTEST,
    }
