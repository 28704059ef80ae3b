"""Runs one contender in this process: ``python -m bench.processor.worker JOB`` prints what the run took.

In this process and not as a function of the emulator, whose way of starting functions costs more than what is measured.
"""

from __future__ import annotations

import io
import json
import pkgutil
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import botocore.session

from bench.processor.workload import FIRST_SEQUENCE, Shape, kinesis_event, readings

TIMEOUT_MS = 60_000


class Context:
    """What Lambda hands to a function besides the event, as far as it is read."""

    function_name = "iot-stream-processor-bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:bench"
    aws_request_id = "00000000-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """As at the start of an invocation."""
        return TIMEOUT_MS


def _listen(latency_ms: float) -> list[object]:
    """The HTTP requests of all clients from now on, retries included; each of them is held up."""
    create, requests = botocore.session.Session.create_client, list[object]()

    def wait(request: object, **_: Any) -> None:
        requests.append(request)
        time.sleep(latency_ms / 1000)

    def create_and_listen(*arguments: Any, **options: Any) -> Any:
        client = create(*arguments, **options)
        client.meta.events.register("before-send", wait)
        return client

    # boto3's clients and resources are botocore's clients underneath.
    botocore.session.Session.create_client = create_and_listen
    return requests


def run(
    contender: str, *, shape: dict[str, int], first: int, batches: int, latency_ms: float
) -> dict[str, float]:
    """Process as many batches to warm up, then those that count.

    A function's process handles thousands of batches, and CPython specializes code that runs often.

    Args:
        contender: module and function.
        shape: of each batch.
        first: the number of the first batch, of all that the tables get.
        batches: how many count, after as many.
        latency_ms: added to each call.
    """
    calls = _listen(latency_ms)
    handler = pkgutil.resolve_name(contender)
    numbers = range(first, first + 2 * batches)
    taken = []
    for number, batch in enumerate(readings(Shape(**shape), numbers.stop)):
        if number not in numbers:
            continue
        event = kinesis_event(batch, FIRST_SEQUENCE + number * len(batch))
        calls.clear()
        cpu, wall = time.process_time(), time.perf_counter()
        response = handler(event, Context())
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        taken.append({"seconds": wall, "cpu_seconds": cpu, "calls": len(calls)})
        if response not in (None, {"batchItemFailures": []}):
            raise RuntimeError(f"{contender} did not store a batch: {response}")
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak_mib = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return {what: sum(it[what] for it in taken[batches:]) for what in taken[0]} | {
        "peak_mib": peak_mib
    }


if __name__ == "__main__":
    with redirect_stdout(io.StringIO()):  # a function's log goes there
        result = run(**json.loads(sys.argv[1]))
    print(json.dumps(result))
