"""The main job: deploy the example into an AWS emulator, send telemetry, and account for all of it.

    python -m examples.iot_pipeline.local.demo --help

The last line of standard output is the accounting, ``{"sent": N, "stored": N, "dead_lettered": N,
"lost": 0}``; the exit code is 1 when a record is lost or the numbers do not add up.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from examples.iot_pipeline.local import chart
from examples.iot_pipeline.local.accounting import Account, Accountant, Run, print_result
from examples.iot_pipeline.local.alarms import alarm_states, publish_queue_depth
from examples.iot_pipeline.local.archive import read_archive
from examples.iot_pipeline.local.deployment import (
    ALARM,
    AUTO_DELETE,
    EMULATOR_ACTIONS,
    Deployer,
    Deployment,
    UnresolvedError,
    UnsupportedResource,
)
from examples.iot_pipeline.local.devices import DeviceError, Fleet
from examples.iot_pipeline.local.emulator import (
    CREDENTIAL,
    REGION,
    Emulator,
    EmulatorError,
    Endpoint,
    running_emulator,
)
from examples.iot_pipeline.local.event_source_mapping import (
    LocalEventSourceMapping,
    UnsupportedMappingError,
)
from examples.iot_pipeline.local.plan import Fate, Kind, Message
from examples.iot_pipeline.local.program import count, run_program
from examples.iot_pipeline.local.rule_engine import RuleEngine, UnsupportedRuleError
from examples.iot_pipeline.local.screen import Screen
from examples.iot_pipeline.local.toolchain import ToolError

_EXPECTED = (
    DeviceError,
    EmulatorError,
    ToolError,
    UnresolvedError,
    UnsupportedMappingError,
    UnsupportedRuleError,
)
RUN_FILE = "run.json"

EMULATOR_GAPS = (
    (
        "an IoT rule's Kinesis action is skipped",
        "rule_engine.py performs it as the deployed rule says",
    ),
    (
        "composite alarms and alarms on metric math are refused in a template",
        "they are created through the CloudWatch API; metric math is never evaluated",
    ),
    (
        "most services publish no metrics, and alarms ignore dimensions",
        "the mapping's metrics and the true depth of the DLQ queue are published as AWS does",
    ),
    (
        "the function that empties a bucket before it is deleted cannot run",
        "it is left out; a teardown empties the bucket itself",
    ),
    (
        "partial failures, retry limits, bisecting and failure destinations of a stream's mapping are ignored",
        "event_source_mapping.py runs the mapping as it is deployed; the emulator's poller is paused",
    ),
    (
        "functions run in this machine's Python, not in Lambda's on arm64",
        "nothing stands in: the packages are plain Python",
    ),
    (
        "what one service may do in another (keys, alarms' topics, Firehose) is not checked",
        "nothing stands in; the roles of the function and of the rule are enforced",
    ),
    (
        f"it asks for actions that AWS does not have: {', '.join(EMULATOR_ACTIONS.values())}",
        "roles that may do the like on AWS get them after the deployment",
    ),
)


@dataclass(frozen=True)
class Options:
    """What a user can choose."""

    devices: int
    readings: int
    rate: float
    suffix: str
    seed: int
    out: Path
    patience: float
    keep: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    return run_program(partial(_run, options), _EXPECTED, Screen())


def parse(arguments: Sequence[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.iot_pipeline.local.demo",
        description="Deploy the example into an AWS emulator on this machine, let simulated "
        "devices send telemetry, and account for every record.",
    )
    parser.add_argument("--devices", type=count, default=20, metavar="N", help="default: 20")
    parser.add_argument(
        "--readings", type=count, default=60, metavar="N", help="records of a device; default: 60"
    )
    parser.add_argument(
        "--rate", type=_rate, default=150.0, metavar="N", help="messages a second; default: 150"
    )
    parser.add_argument("--suffix", default="dev", help="environment suffix; default: dev")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--out", type=Path, default=Path("demo-out"), help="for the chart; default: demo-out"
    )
    parser.add_argument(
        "--patience",
        type=_rate,
        default=30.0,
        metavar="SECONDS",
        help="a record is lost when nothing has moved for so long; default: 30",
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave it running until Ctrl-C, to look around"
    )
    return Options(**vars(parser.parse_args(arguments)))


def _run(options: Options, screen: Screen) -> int:
    start = time.monotonic()
    with ExitStack() as stack:
        with screen.step("start the emulator"):
            emulator = stack.enter_context(running_emulator())
        deployer = Deployer(emulator)
        try:
            deployment = _deploy(deployer, options, screen)
            result = _send_and_count(emulator, deployment, options, screen)
            if result.exit_code:
                _save_logs(emulator, deployer, options.out)
            _show_records(screen, result)
            _show_details(emulator, deployment, options, screen)
        except Exception as error:
            _save_logs(emulator, deployer, options.out)
            # When the emulator has died, that is the news, and not which call failed first.
            emulator.check()
            if isinstance(error, (BotoCoreError, ClientError)):
                raise EmulatorError(f"a call to the emulator failed: {error}") from error
            raise
        screen.heading(f"{time.monotonic() - start:.0f} s in all")
        if options.keep:
            _show_keep_help(screen, emulator, options)
        code = print_result(result)
        while options.keep:
            time.sleep(1)
            emulator.check()
    return code


def _deploy(deployer: Deployer, options: Options, screen: Screen) -> Deployment:
    with screen.step("cdk bootstrap, cdk synth"):
        assembly = deployer.prepare(options.suffix)
    with screen.step(f"cdk deploy (suffix {options.suffix})") as report:
        deployment = deployer.deploy(assembly, on_progress=report)
    if deployment.unsupported:
        screen.heading("Left out of the template, because the emulator refuses it")
        screen.table(
            ["resource", "why", "instead"],
            [
                (each.name, each.reason, _replacement(each, deployment))
                for each in deployment.unsupported
            ],
        )
    for added in deployment.added_permissions:
        screen.print(f"added for the emulator: role {added.role} may {added.action}")
    screen.print()
    return deployment


def _replacement(unsupported: UnsupportedResource, deployment: Deployment) -> str:
    if unsupported.type == AUTO_DELETE:
        return "a teardown empties the bucket"
    if unsupported.name in deployment.created_by_api:
        return "created by API"
    return f"missing: {deployment.failed_alarms.get(unsupported.name, 'not created')}"


def _create_run(emulator: Emulator, deployment: Deployment, options: Options) -> Run:
    run = Run(
        devices=options.devices,
        readings=options.readings,
        seed=options.seed,
        now_ms=time.time_ns() // 1_000_000,
        endpoint=emulator.endpoint.url,
        authority=emulator.endpoint.authority,
        time_series_table=deployment.output("TimeSeriesTableName"),
        state_table=deployment.output("DeviceStateTableName"),
        queue_url=deployment.output("DlqQueueUrl"),
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
        with screen.step(f"{len(names)} devices send") as report, Fleet(emulator, names) as fleet:
            fleet.publish(plan, rate=options.rate, on_published=lambda n: report(n, len(plan)))
        with screen.step("account for every record") as report:
            result = Accountant(run).count_until_settled(
                patience=options.patience,
                on_progress=lambda each: report(each.sent - len(each.lost), each.sent),
            )
    for dropped in engine.delivery.dropped:
        screen.print(f"neither the stream nor the error action took it: {dropped}")
    for failure in mapping.undelivered:
        screen.print(f"given up, and its failure record reached nobody: {failure}")
    return result


def _show_records(screen: Screen, result: Account) -> None:
    screen.heading("Where every record is")
    rows = []
    for kind, each in result.by_kind.items():
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(each.reasons.items()))
        note = "one record with its original" if kind is Kind.DUPLICATE else reasons
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
            "together",
            str(result.messages),
            str(len(result.stored)),
            str(len(result.dead_lettered)),
            str(len(result.lost)),
            f"{result.sent} distinct records",
        )
    )
    columns = ["kind of message", "messages", Fate.STORED.value, Fate.DEAD_LETTERED.value]
    screen.table([*columns, "lost", "reason on the DLQ, or note"], rows)
    duplicates = result.messages - result.sent
    repeated = len(result.dead_lettered_more_than_once)
    screen.print(
        f"{duplicates} duplicates sent and collapsed; {repeated} records on the DLQ more than once; "
        f"{len(result.stale_state)} devices whose latest state is not their newest reading"
    )


def _show_details(
    emulator: Emulator, deployment: Deployment, options: Options, screen: Screen
) -> None:
    plan = Run.load(options.out / RUN_FILE).plan()
    _show_archive(screen, emulator, deployment, plan)
    _show_alarms(screen, emulator, deployment)
    _show_chart_and_query(screen, emulator, deployment, plan, options)
    screen.heading("What the emulator lacks, and what stands in")
    screen.table(["gap", "stand-in"], EMULATOR_GAPS)


def _show_archive(
    screen: Screen, emulator: Emulator, deployment: Deployment, plan: list[Message]
) -> None:
    archive = read_archive(emulator, deployment.output("BucketName"), plan)
    screen.heading("The raw archive")
    sent = len({message.identity for message in plan})
    screen.print(
        f"{len(archive.records)} of {sent} records in {archive.objects} objects of "
        f"s3://{deployment.output('BucketName')} ({archive.bytes} bytes)"
    )
    if archive.example_key is not None:
        screen.print(f"for example {archive.example_key}")


def _show_alarms(screen: Screen, emulator: Emulator, deployment: Deployment) -> None:
    queue_url = deployment.output("DlqQueueUrl")
    attributes = emulator.client("sqs").get_queue_attributes(
        QueueUrl=queue_url,
        # Counting has hidden some for a moment: they are on the queue all the same.
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )["Attributes"]
    depth = sum(int(value) for value in attributes.values())
    watching = publish_queue_depth(emulator, queue_url, depth)
    screen.heading("Alarms")
    math = {each.name for each in deployment.unsupported if each.type == ALARM}
    screen.table(
        ["alarm", "state", "watches"],
        [
            (each.name, each.state, "metric math" if each.name in math else each.watches)
            for each in alarm_states(emulator)
        ],
    )
    screen.print(
        f"published for {watching} of them: {depth} messages on the DLQ queue; what has no data is of "
        "services that publish no metrics here, or has had nothing to count"
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
    screen.heading("A chart and a query")
    screen.print(f"{len(points)} readings of {device_id}, read back from {table}: {file}")
    keep = "" if options.keep else " (the emulator stops now; --keep leaves it running)"
    screen.print(f"its latest five readings, as a query to paste{keep}:")
    screen.print(query_command(emulator.endpoint, table, device_id))


def query_command(endpoint: Endpoint, table: str, device_id: str) -> str:
    """An AWS CLI command that reads the latest readings of a device from the emulator.

    In a real account it is the same without the credentials, the endpoint and the CA.
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
    screen.heading("Still running, until Ctrl-C")
    screen.print(f"  export AWS_ENDPOINT_URL={emulator.endpoint.url} AWS_DEFAULT_REGION={REGION}")
    screen.print(f"  export AWS_CA_BUNDLE={emulator.endpoint.authority}")
    screen.print(f"  export AWS_ACCESS_KEY_ID={CREDENTIAL} AWS_SECRET_ACCESS_KEY={CREDENTIAL}")
    again = f"python -m examples.iot_pipeline.local.accounting {options.out / RUN_FILE}"
    screen.print(f"count again: {again}")


def _save_logs(emulator: Emulator, deployer: Deployer, out: Path) -> None:
    """Keep the logs of a failed run; those of a good one go with the emulator."""
    directory = out / "logs"
    directory.mkdir(parents=True, exist_ok=True)
    for log in [emulator.log, *deployer.logs()]:
        shutil.copyfile(log, directory / log.name)
    print(f"logs: {directory}", file=sys.stderr)


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
