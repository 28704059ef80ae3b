"""Runs one contender in this process: a job as JSON on standard input, then the number of batches of each run.

In this process and not as a function of the emulator, whose way of starting functions costs more than what is measured.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import threading
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import IO, Any

import botocore.session

from bench.processor.workload import FIRST_SEQUENCE, Shape, kinesis_event, readings

TIMEOUT_MS = 60_000
MOST_BATCHES = 10_000


class Context:
    """What Lambda hands to a function besides the event, as far as it is read."""

    function_name = "iot-stream-processor-bench"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:bench"
    aws_request_id = "00000000-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """As at the start of an invocation."""
        return TIMEOUT_MS


class Calls:
    """Counts the HTTP requests of all clients, retries included, and holds each of them up."""

    def __init__(self, latency_ms: float) -> None:
        self.count = 0
        self._latency_seconds = latency_ms / 1000
        self._lock = threading.Lock()

    def listen(self) -> None:
        """Count from now on. boto3's clients and resources are botocore's clients underneath."""
        create = botocore.session.Session.create_client

        def create_and_listen(*arguments: Any, **options: Any) -> Any:
            client = create(*arguments, **options)
            client.meta.events.register("before-send", self._count_and_wait)
            return client

        botocore.session.Session.create_client = create_and_listen

    def _count_and_wait(self, **_: Any) -> None:
        with self._lock:
            self.count += 1
        time.sleep(self._latency_seconds)


def main(results: IO[str] | None) -> None:
    """Run until standard input ends. Writes one line of JSON for each run."""
    job = json.loads(sys.stdin.readline())
    calls = Calls(job["latency_ms"])
    calls.listen()
    sys.path.insert(0, job["folder"])
    handler = importlib.import_module(job["module"]).handler
    shape = Shape(**job["shape"])
    batches = enumerate(readings(shape, MOST_BATCHES))
    for line in sys.stdin:
        wall_seconds = cpu_seconds = 0.0
        calls.count = 0
        for _ in range(int(line)):
            number, batch = next(batches)
            event = kinesis_event(batch, FIRST_SEQUENCE + number * shape.records)
            cpu, wall = time.process_time(), time.perf_counter()
            response = handler(event, Context())
            wall_seconds += time.perf_counter() - wall
            cpu_seconds += time.process_time() - cpu
            if response not in (None, {"batchItemFailures": []}):
                raise RuntimeError(f"{job['module']} did not store a batch: {response}")
        # Not ru_maxrss, which a process inherits from the one that started it.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak_mib = int(status.partition("VmHWM:")[2].split()[0]) / 1024
        result = {"seconds": wall_seconds, "cpu_seconds": cpu_seconds, "calls": calls.count}
        print(json.dumps({**result, "peak_mib": peak_mib}), file=results, flush=True)


if __name__ == "__main__":
    # A function's log goes to standard output.
    with redirect_stdout(io.StringIO()):
        main(sys.__stdout__)
