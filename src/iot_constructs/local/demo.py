"""Deploys the example to a local AWS emulator, sends telemetry, and accounts for every record.

    python -m iot_constructs.local.demo --help

The last line of the output is ``{"sent": N, "stored": N, "dead_lettered": N, "lost": 0}``. The exit code
is 1 if a record is lost or the numbers don't add up.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from iot_constructs.local import chart
from iot_constructs.local.accounting import Account, Accountant, Run, print_result
from iot_constructs.local.alarms import alarm_states, publish_queue_depth
from iot_constructs.local.archive import read_archive
from iot_constructs.local.deployment import (
    ALARM,
    AUTO_DELETE,
    EMULATOR_ACTIONS,
    Deployer,
    Deployment,
    UnresolvedError,
    UnsupportedResource,
)
from iot_constructs.local.devices import DeviceError, Fleet
from iot_constructs.local.emulator import (
    CREDENTIAL,
    REGION,
    Emulator,
    EmulatorError,
    Endpoint,
    running_emulator,
)
from iot_constructs.local.event_source_mapping import (
    LocalEventSourceMapping,
    UnsupportedMappingError,
)
from iot_constructs.local.plan import Fate, Kind, Message
from iot_constructs.local.program import count, deploy, run_program, save_logs_on_error
from iot_constructs.local.rule_engine import RuleEngine, UnsupportedRuleError
from iot_constructs.local.screen import Screen
from iot_constructs.local.toolchain import ToolError

_EXPECTED = (
    DeviceError,
    EmulatorError,
    ToolError,
    UnresolvedError,
    UnsupportedMappingError,
    UnsupportedRuleError,
)
RUN_FILE = "run.json"
EXAMPLE = Path("examples", "iot_pipeline")

EMULATOR_GAPS = (
    (
        "IoT rules ignore the Kinesis action",
        "rule_engine.py runs the deployed rule",
    ),
    (
        "CloudFormation rejects composite alarms and alarms with metric math",
        "created with the CloudWatch API; metric math is never evaluated",
    ),
    (
        "most services publish no metrics, and alarms ignore dimensions",
        "publishes the metrics of the mapping and the depth of the DLQ queue",
    ),
    (
        "the function that empties a bucket on deletion does not run",
        "removed from the template; a teardown empties the bucket",
    ),
    (
        "event source mappings ignore partial failures, retry limits, bisecting, and failure destinations",
        "event_source_mapping.py runs the deployed mapping; the emulator's poller is paused",
    ),
    (
        "functions run in the local Python, not in Lambda's runtime on arm64",
        "none; the packages are pure Python",
    ),
    (
        "permissions between services (KMS keys, alarm topics, Firehose) are not enforced",
        "none; the permissions of the function and the rule are enforced",
    ),
    (
        f"requires actions that don't exist on AWS: {', '.join(EMULATOR_ACTIONS.values())}",
        "added to the roles with the corresponding AWS actions",
    ),
)


@dataclass(frozen=True)
class Options:
    """Command-line options."""

    devices: int
    readings: int
    rate: float
    suffix: str
    seed: int
    out: Path
    patience: float
    keep: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    return run_program(partial(_run, options), _EXPECTED, Screen())


def parse(arguments: Sequence[str]) -> Options:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m iot_constructs.local.demo",
        description="Deploy the example to a local AWS emulator, send telemetry from simulated "
        "devices, and account for every record.",
    )
    parser.add_argument("--devices", type=count, default=20, metavar="N", help="default: 20")
    parser.add_argument(
        "--readings", type=count, default=60, metavar="N", help="records per device; default: 60"
    )
    parser.add_argument(
        "--rate", type=_rate, default=150.0, metavar="N", help="messages per second; default: 150"
    )
    parser.add_argument("--suffix", default="dev", help="environment suffix; default: dev")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--out", type=Path, default=Path("demo-out"), help="output folder; default: demo-out"
    )
    parser.add_argument(
        "--patience",
        type=_rate,
        default=30.0,
        metavar="SECONDS",
        help="time without progress until missing records count as lost; default: 30",
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the emulator running until Ctrl-C"
    )
    return Options(**vars(parser.parse_args(arguments)))


def _run(options: Options, screen: Screen) -> int:
    start = time.monotonic()
    with ExitStack() as stack:
        with screen.step("start the emulator"):
            emulator = stack.enter_context(running_emulator())
        deployer = Deployer(emulator, app_directory=EXAMPLE)
        logs = options.out / "logs"
        with save_logs_on_error(emulator, deployer, logs):
            deployment = _deploy(deployer, options, screen)
            result = _send_and_count(emulator, deployment, options, screen)
            if result.exit_code:
                deployer.save_logs(logs)
            _show_records(screen, result)
            _show_details(emulator, deployment, options, screen)
        screen.heading(f"Total time: {time.monotonic() - start:.0f} s")
        if options.keep:
            _show_keep_help(screen, emulator, options)
        code = print_result(result)
        while options.keep:
            time.sleep(1)
            emulator.check()
    return code


def _deploy(deployer: Deployer, options: Options, screen: Screen) -> Deployment:
    deployment = deploy(deployer, options.suffix, screen)
    if deployment.unsupported:
        screen.heading("Resources removed from the template for the emulator")
        screen.table(
            ["resource", "reason", "replacement"],
            [
                (each.name, each.reason, _replacement(each, deployment))
                for each in deployment.unsupported
            ],
        )
    for added in deployment.added_permissions:
        screen.print(f"added for the emulator: {added.action} to role {added.role}")
    screen.print()
    return deployment


def _replacement(unsupported: UnsupportedResource, deployment: Deployment) -> str:
    if unsupported.type == AUTO_DELETE:
        return "teardown empties the bucket"
    if unsupported.name in deployment.created_by_api:
        return "created with the API"
    return f"missing: {deployment.failed_alarms.get(unsupported.name, 'not created')}"


def _create_run(emulator: Emulator, deployment: Deployment, options: Options) -> Run:
    run = Run.create(
        emulator,
        deployment,
        devices=options.devices,
        readings=options.readings,
        seed=options.seed,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    run.save(options.out / RUN_FILE)
    return run


def _send_and_count(
    emulator: Emulator, deployment: Deployment, options: Options, screen: Screen
) -> Account:
    run = _create_run(emulator, deployment, options)
    plan = run.plan()
    names = sorted({message.device_id for message in plan})
    engine = RuleEngine.from_deployed_rule(emulator, deployment.output("TelemetryRuleName"))
    mapping = LocalEventSourceMapping(emulator, function_name=deployment.output("FunctionName"))
    with mapping, engine:
        step = screen.step(f"send from {len(names)} devices")
        with step as report, Fleet(emulator, names) as fleet:
            fleet.publish(plan, rate=options.rate, on_published=lambda n: report(n, len(plan)))
        with screen.step("account for every record") as report:
            result = Accountant(run).count_until_settled(
                patience=options.patience,
                on_progress=lambda each: report(each.sent - len(each.lost), each.sent),
            )
    for dropped in engine.delivery.dropped:
        screen.print(f"lost by the rule and its error action: {dropped}")
    for failure in mapping.undelivered:
        screen.print(f"failure record not delivered: {failure}")
    return result


def _show_records(screen: Screen, result: Account) -> None:
    screen.heading("Records by kind")
    rows = []
    for kind, each in result.by_kind.items():
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(each.reasons.items()))
        note = "same record as the original" if kind is Kind.DUPLICATE else reasons
        rows.append(
            (
                kind.value,
                str(each.messages),
                str(each.stored) if kind is not Kind.DUPLICATE else "-",
                str(each.dead_lettered) if kind is not Kind.DUPLICATE else "-",
                str(each.lost) if kind is not Kind.DUPLICATE else "-",
                note,
            )
        )
    rows.append(
        (
            "total",
            str(result.messages),
            str(len(result.stored)),
            str(len(result.dead_lettered)),
            str(len(result.lost)),
            f"{result.sent} distinct records",
        )
    )
    columns = ["kind of message", "messages", Fate.STORED.value, Fate.DEAD_LETTERED.value]
    screen.table([*columns, "lost", "reason or note"], rows)
    duplicates = result.messages - result.sent
    repeated = len(result.dead_lettered_more_than_once)
    screen.print(
        f"{duplicates} duplicates, stored once; {repeated} records on the DLQ more than once; "
        f"{len(result.stale_state)} devices with a stale state"
    )


def _show_details(
    emulator: Emulator, deployment: Deployment, options: Options, screen: Screen
) -> None:
    plan = Run.load(options.out / RUN_FILE).plan()
    _show_archive(screen, emulator, deployment, plan)
    _show_alarms(screen, emulator, deployment)
    _show_chart_and_query(screen, emulator, deployment, plan, options)
    screen.heading("Limitations of the emulator")
    screen.table(["limitation", "replacement"], EMULATOR_GAPS)


def _show_archive(
    screen: Screen, emulator: Emulator, deployment: Deployment, plan: list[Message]
) -> None:
    archive = read_archive(emulator, deployment.output("BucketName"), plan)
    screen.heading("Raw archive")
    sent = len({message.identity for message in plan})
    screen.print(
        f"{len(archive.records)} of {sent} records in {archive.objects} objects of "
        f"s3://{deployment.output('BucketName')} ({archive.bytes} bytes)"
    )
    if archive.example_key is not None:
        screen.print(f"example: {archive.example_key}")


def _show_alarms(screen: Screen, emulator: Emulator, deployment: Deployment) -> None:
    queue_url = deployment.output("DlqQueueUrl")
    attributes = emulator.client("sqs").get_queue_attributes(
        QueueUrl=queue_url,
        # The count made some messages temporarily invisible.
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    depth = sum(int(value) for value in attributes.values())
    publish_queue_depth(emulator, queue_url, depth)
    screen.heading("Alarms")
    math = {each.name for each in deployment.unsupported if each.type == ALARM}
    screen.table(
        ["alarm", "state", "metric"],
        [
            (each.name, each.state, "metric math" if each.name in math else each.metric)
            for each in alarm_states(emulator)
        ],
    )
    screen.print(
        f"published the depth of the DLQ queue: {depth}; INSUFFICIENT_DATA: the emulator does not publish "
        "the metric, or no event occurred"
    )


def _show_chart_and_query(
    screen: Screen,
    emulator: Emulator,
    deployment: Deployment,
    plan: list[Message],
    options: Options,
) -> None:
    table, device_id = deployment.output("TimeSeriesTableName"), plan[0].device_id
    points = chart.query_readings(emulator.client("dynamodb"), table, device_id)
    file = chart.draw(points, device_id, table, options.out / "chart.png")
    screen.heading("Chart and query")
    screen.print(f"{len(points)} readings of {device_id} from {table}: {file}")
    keep = "" if options.keep else " (requires --keep: the emulator stops now)"
    screen.print(f"query the five latest readings{keep}:")
    screen.print(query_command(emulator.endpoint, table, device_id))


def query_command(endpoint: Endpoint, table: str, device_id: str) -> str:
    """Return an AWS CLI command that queries the latest readings of a device from the emulator.

    In an AWS account, omit the credentials, the endpoint, and the CA.
    """
    arguments = [
        *["aws", "dynamodb", "query", "--endpoint-url", endpoint.url],
        *["--ca-bundle", endpoint.authority, "--region", REGION],
        *["--table-name", table, "--key-condition-expression", "deviceId = :device"],
        *["--expression-attribute-values", f'{{":device": {{"S": "{device_id}"}}}}'],
        *["--no-scan-index-forward", "--limit", "5"],
    ]
    credentials = f"AWS_ACCESS_KEY_ID={CREDENTIAL} AWS_SECRET_ACCESS_KEY={CREDENTIAL}"
    return f"  {credentials} {shlex.join(arguments)}"


def _show_keep_help(screen: Screen, emulator: Emulator, options: Options) -> None:
    screen.heading("The emulator is running. To stop it, press Ctrl-C")
    screen.print(f"  export AWS_ENDPOINT_URL={emulator.endpoint.url} AWS_DEFAULT_REGION={REGION}")
    screen.print(f"  export AWS_CA_BUNDLE={emulator.endpoint.authority}")
    screen.print(f"  export AWS_ACCESS_KEY_ID={CREDENTIAL} AWS_SECRET_ACCESS_KEY={CREDENTIAL}")
    again = f"python -m iot_constructs.local.accounting {options.out / RUN_FILE}"
    screen.print(f"to count again: {again}")


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} must be a positive number")
    return value


if __name__ == "__main__":
    sys.exit(main())
