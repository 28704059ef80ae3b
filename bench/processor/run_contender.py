"""Runs one contender in this process: a job as JSON on standard input, the result on standard output.

In-process and not as a function of the emulator, whose way of starting functions costs more than
what is measured.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from bench.processor.calls import Calls
from bench.processor.workload import FIRST_SEQUENCE, Shape, kinesis_event, readings

ROOT = Path(__file__).resolve().parents[2]
# Contender -> its module, and the folder that it is imported from.
CONTENDERS = {
    "ours": ("processor.handler", ROOT / "src" / "iot_constructs"),
    "usual": ("bench.processor.usual_handler", ROOT),
    "powertools": ("bench.processor.powertools_handler", ROOT),
}
TIMEOUT_MS = 60_000


class Context:
    """What Lambda hands to a function besides the event, as far as it is read."""

    function_name = "iot-stream-processor-bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:111122223333:function:bench"
    aws_request_id = "00000000-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """As at the start of an invocation."""
        return TIMEOUT_MS


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The first `warm_up` batches make connections and clients. They are stored but not measured."""
    calls = Calls(job["latency_ms"])
    calls.listen()
    module, folder = CONTENDERS[job["contender"]]
    sys.path.insert(0, str(folder))
    handler = importlib.import_module(module).handler
    shape = Shape(**job["shape"])
    seconds: list[float] = []
    cpu_seconds = 0.0
    for number, batch in enumerate(readings(shape, job["batches"])):
        event = kinesis_event(batch, FIRST_SEQUENCE + number * shape.records)
        if number == job["warm_up"]:
            calls.reset()
        cpu_before, before = time.process_time(), time.perf_counter()
        answer = handler(event, Context())
        elapsed, cpu_elapsed = time.perf_counter() - before, time.process_time() - cpu_before
        if answer is not None and answer != {"batchItemFailures": []}:
            raise RuntimeError(f"{job['contender']} did not store a batch: {answer}")
        if number >= job["warm_up"]:
            seconds.append(elapsed)
            cpu_seconds += cpu_elapsed
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "operations": dict(calls.operations),
        "write_units": calls.write_units,
        "largest_item_bytes": calls.largest_item_bytes,
    }


if __name__ == "__main__":
    # A function's log goes to standard output.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        result = run(json.load(sys.stdin))
    print(json.dumps(result))
