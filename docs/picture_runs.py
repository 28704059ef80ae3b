"""What the pictures show of runs of the demo: its text, and its alarms' metrics. Both are files beside the pictures.

The text is that of `make demo`. The metrics are those of a slow run, whose devices take some minutes for what they
send in seconds there: CloudWatch's points are a minute apart.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from iot_constructs.local.alarms import QUEUE_DEPTH, QUEUE_NAMESPACE
from iot_constructs.local.emulator import Endpoint
from iot_constructs.local.run import RUN_FILE

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
TEXT = PICTURES / "demo.txt"
POINTS = PICTURES / "demo-metrics.json"

PERIOD = 60
"""Seconds from point to point."""
RATE = 2.5
"""Messages a second of the slow run, which so takes eight and a half minutes."""
POLL_SECONDS = 10.0
PATIENCE_SECONDS = 1800.0

_DEMO = (
    *(sys.executable, "-m", "iot_constructs.cli", "local", "examples/iot_pipeline"),
    *("--out", "demo-out"),
)
# Where the emulator had its files: the only thing in the text that is this machine's own.
_TEMPORARY = re.compile(r"[^\s=]*/(?=emulator-\d+/)")


def capture_text() -> str:
    """The output of `make demo` where it is not a terminal."""
    done = subprocess.run(_DEMO, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return _TEMPORARY.sub("", "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n")


def measure() -> Mapping[str, Any]:
    """Every alarm of a slow run: its state at the end, and what its metric was, minute for minute."""
    with tempfile.TemporaryDirectory(prefix="iot-pictures-") as directory:
        folder, log = Path(directory), Path(directory) / "output.txt"
        with log.open("w", encoding="utf-8") as output:
            arguments = ["--keep", "--rate", str(RATE), "--out", directory]
            process = subprocess.Popen((*_DEMO, *arguments), cwd=ROOT, stdout=output)
        try:
            return _follow(process, folder / RUN_FILE, log)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def as_json(points: Mapping[str, Any]) -> str:
    """The metrics as the file has them: an alarm a line."""
    alarms = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(each)}"
        for name, each in sorted(points["alarms"].items())
    )
    rest = {key: value for key, value in points.items() if key != "alarms"}
    head = "".join(f"  {json.dumps(key)}: {json.dumps(value)},\n" for key, value in rest.items())
    return f'{{\n{head}  "alarms": {{\n{alarms}\n  }}\n}}\n'


def _follow(process: subprocess.Popen[bytes], run_file: Path, log: Path) -> Mapping[str, Any]:
    _wait_for(process, run_file.exists)
    run = json.loads(run_file.read_text(encoding="utf-8"))
    endpoint = Endpoint(run["endpoint"], run["authority"])
    cloudwatch, sqs = endpoint.client("cloudwatch"), endpoint.client("sqs")
    start = datetime.now(timezone.utc)

    def finished() -> bool:
        for queue_url in run["places"]["queues"]:
            _publish_depth(cloudwatch, sqs, queue_url)
        return '"lost": ' in log.read_text(encoding="utf-8")

    _wait_for(process, finished)
    accounting = json.loads(log.read_text(encoding="utf-8").strip().splitlines()[-1])
    return {
        "devices": run["devices"],
        "readings": run["readings"],
        "seed": run["seed"],
        "messages a second": RATE,
        "seconds from point to point": PERIOD,
        "accounting": accounting,
        "alarms": dict(_alarms(cloudwatch, start)),
    }


def _wait_for(process: subprocess.Popen[bytes], condition: Any) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the demo did not come so far (exit code {process.returncode})")
        time.sleep(POLL_SECONDS)


def _publish_depth(cloudwatch: Any, sqs: Any, queue_url: str) -> None:
    """The depth of the DLQ queue, as often as it is asked: AWS publishes it, the emulator does not."""
    # The accounting takes messages from the queue and gives them back: they are on it all the same.
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    datum = {
        "MetricName": QUEUE_DEPTH,
        "Dimensions": [{"Name": "QueueName", "Value": queue_url.rsplit("/", 1)[-1]}],
        "Value": float(sum(int(value) for value in answer.values())),
        "Unit": "Count",
    }
    cloudwatch.put_metric_data(Namespace=QUEUE_NAMESPACE, MetricData=[datum])


def _alarms(cloudwatch: Any, start: datetime) -> Any:
    """Name, state and points of each alarm, as minutes from the start and values."""
    first = start.replace(second=0, microsecond=0)
    for page in cloudwatch.get_paginator("describe_alarms").paginate(AlarmTypes=["MetricAlarm"]):
        for alarm in page["MetricAlarms"]:
            if not alarm.get("MetricName"):  # metric math, which the emulator does not evaluate
                yield alarm["AlarmName"], {"state": alarm["StateValue"], "points": []}
                continue
            data = cloudwatch.get_metric_statistics(
                Namespace=alarm["Namespace"],
                MetricName=alarm["MetricName"],
                Dimensions=alarm["Dimensions"],
                Statistics=[alarm["Statistic"]],
                Period=PERIOD,
                StartTime=first,
                EndTime=datetime.now(timezone.utc) + timedelta(minutes=1),
            )["Datapoints"]
            points = sorted(
                (
                    int((each["Timestamp"] - first).total_seconds()) // 60,
                    round(each[alarm["Statistic"]], 1),
                )
                for each in data
            )
            yield alarm["AlarmName"], {"state": alarm["StateValue"], "points": points}
