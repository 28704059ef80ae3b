"""``iot-constructs local``: deploys a CDK app to a local AWS emulator, sends telemetry, accounts for every record.

The last line of the output is ``{"sent": N, "stored": N, "dead_lettered": N, "lost": 0}``. The exit code
is 1 if a record is lost or the numbers don't add up.
"""

from __future__ import annotations

import shlex
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
    AppError,
    Deployer,
    Deployment,
    UnresolvedError,
    UnsupportedResource,
    check_app,
)
from iot_constructs.local.devices import Fleet
from iot_constructs.local.discovery import NoMappingError, Pipeline, discover
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
from iot_constructs.local.mqtt import DeviceError
from iot_constructs.local.payload import PayloadError, read_payload
from iot_constructs.local.plan import Fate, Kind, Message, device_names
from iot_constructs.local.program import deploy, run_program, save_logs_on_error
from iot_constructs.local.rule_engine import RuleEngine, UnsupportedRuleError
from iot_constructs.local.screen import Screen
from iot_constructs.local.toolchain import ToolError, create_folder


class OutputError(ValueError):
    """The folder of the logs can't be written."""


_EXPECTED = (
    AppError,
    DeviceError,
    EmulatorError,
    NoMappingError,
    OSError,
    OutputError,
    PayloadError,
    ToolError,
    UnresolvedError,
    UnsupportedMappingError,
    UnsupportedRuleError,
)
RUN_FILE = "run.json"

EMULATOR_GAPS = (
    (
        "IoT rules ignore the Kinesis action",
        "rule_engine.py runs the deployed rules",
    ),
    (
        "CloudFormation rejects composite alarms and alarms with metric math",
        "created with the CloudWatch API; metric math is never evaluated",
    ),
    (
        "most services publish no metrics, and alarms ignore dimensions",
        "publishes the metrics of the mappings and the depth of the queues",
    ),
    (
        "the function that empties a bucket on deletion does not run",
        "removed from the template; a teardown empties the bucket",
    ),
    (
        "event source mappings ignore partial failures, retry limits, bisecting, and failure destinations",
        "event_source_mapping.py runs the deployed mappings; the emulator's poller is paused",
    ),
    (
        "functions run in the local Python or Node.js, not in Lambda's runtime on arm64",
        "none; binary packages of the function must fit this machine",
    ),
    (
        "permissions between services (KMS keys, alarm topics, Firehose) are not enforced",
        "none; the permissions of the functions and the rules are enforced",
    ),
    (
        f"requires actions that don't exist on AWS: {', '.join(EMULATOR_ACTIONS.values())}",
        "added to the roles with the corresponding AWS actions",
    ),
)


@dataclass(frozen=True)
class Options:
    """The options of a run. `iot_constructs.cli.local_command` has the defaults."""

    app: Path
    context: Sequence[str]
    suffix: str
    devices: int
    readings: int
    rate: float
    seed: int
    payload: Path | None
    basic_ingest: bool
    out: Path
    patience: float
    keep: bool
    port: int | None


def run(options: Options) -> int:
    """Run the app of a folder. Returns the exit code."""
    return run_program(partial(_run, options), _EXPECTED, Screen())


def _run(options: Options, screen: Screen) -> int:
    start = time.monotonic()
    check_app(options.app)
    if options.payload is not None:
        read_payload(options.payload)
    try:
        create_folder(options.out)
    except OSError as error:
        raise OutputError(
            f"--out {options.out}: {error.strerror}; name a folder that you may write to"
        ) from None
    with ExitStack() as stack:
        with screen.step("start the emulator"):
            emulator = stack.enter_context(running_emulator(options.port))
        with screen.step("find or install the CDK CLI"):
            deployer = Deployer(emulator, app_directory=options.app, context=options.context)
        logs = options.out / "logs"
        with save_logs_on_error(emulator, deployer, logs):
            deployment = _deploy(deployer, options, screen)
            pipeline = discover(emulator, basic_ingest=options.basic_ingest)
            local_run = _create_run(emulator, pipeline, options)
            stand_ins = stack.enter_context(ExitStack())
            result = _send_and_count(
                stand_ins, emulator, pipeline, run=local_run, options=options, screen=screen
            )
            if not options.keep:
                stand_ins.close()
            if result.exit_code:
                deployer.save_logs(logs)
            _show_records(screen, result)
            _show_details(emulator, deployment, local_run, options, screen)
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


def _create_run(emulator: Emulator, pipeline: Pipeline, options: Options) -> Run:
    run = Run(
        devices=options.devices,
        readings=options.readings,
        seed=options.seed,
        now_ms=time.time_ns() // 1_000_000,
        endpoint=emulator.endpoint.url,
        authority=emulator.endpoint.authority,
        places=pipeline.places,
        payload=str(options.payload.resolve()) if options.payload is not None else None,
    )
    run.save(options.out / RUN_FILE)
    return run


def _send_and_count(
    stack: ExitStack,
    emulator: Emulator,
    pipeline: Pipeline,
    *,
    run: Run,
    options: Options,
    screen: Screen,
) -> Account:
    """Start the mappings and rules, which run until the stack is closed, send the messages, and count."""
    plan = run.plan()
    names = sorted({message.device_id for message in plan})
    for note in _notes(pipeline, run):
        screen.print(note)
    mappings: list[LocalEventSourceMapping] = []
    for uuid, function in pipeline.mappings.items():
        mapping = LocalEventSourceMapping(emulator, mapping_uuid=uuid)
        try:
            mappings.append(stack.enter_context(mapping))
        except UnsupportedMappingError as error:
            screen.print(
                f"mapping of {function}: {error}, so the emulator runs it, with its limitations"
            )
    engines = [
        stack.enter_context(RuleEngine(emulator, route.rule, basic_ingest=route.basic_ingest))
        for route in pipeline.routes
        if route.rule is not None
    ]

    def is_idle() -> bool:
        return (
            len(mappings) == len(pipeline.mappings)
            and all(each.is_idle for each in engines)
            and all(each.is_idle for each in mappings)
        )

    step = screen.step(f"send from {len(names)} devices")
    with step as report, Fleet(emulator, names, pipeline.routes) as fleet:
        fleet.publish(plan, rate=options.rate, on_published=lambda n: report(n, len(plan)))
    with screen.step("account for every record") as report:
        result = Accountant(run).count_until_settled(
            patience=options.patience,
            on_progress=lambda each: report(each.sent - len(each.lost), each.sent),
            is_idle=is_idle,
        )
    if result.lost:
        for mapping in mappings:
            if not mapping.is_idle:
                _show_blocked(screen, mapping)
    for dropped in (each for engine in engines for each in engine.delivery.dropped):
        screen.print(f"lost by the rule and its error action: {dropped}")
    for failure in (each for mapping in mappings for each in mapping.undelivered):
        screen.print(f"failure record not delivered: {failure}")
    return result


def _notes(pipeline: Pipeline, run: Run) -> list[str]:
    """Return what a user should know before the messages are sent."""
    notes = [*pipeline.notes]
    notes += [
        f"no IoT rule puts messages on stream {route.stream_name}: devices put their records on it directly"
        for route in pipeline.routes
        if route.rule is None
    ]
    (device,) = device_names(1)
    notes += [
        f"devices publish to rule {route.rule.name} with Basic Ingest, for example to {route.topic(device)}"
        for route in pipeline.routes
        if route.rule is not None and route.basic_ingest
    ]
    if run.payload is not None:
        notes.append(
            f"{run.payload}: each JSON object gets a member messageId; any other line is sent as it is, and counts as "
            "one record, however often it is sent"
        )
    if not run.known_fates:
        notes.append(
            "where a record belongs is unknown for this app: it is an error only if it is lost"
        )
    return notes


def _show_blocked(screen: Screen, mapping: LocalEventSourceMapping) -> None:
    name = mapping.configuration.function_name
    screen.print(
        f"function {name} still fails for records, and Lambda retries until its limits (retry attempts: "
        f"{mapping.configuration.rules.maximum_retry_attempts}; -1: until the records expire); a failed record blocks "
        "its shard: see the function's errors in the log of the emulator"
    )


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
    if result.known_fates:
        duplicates = result.messages - result.sent
        repeated = len(result.dead_lettered_more_than_once)
        screen.print(
            f"{duplicates} duplicates, stored once; {repeated} records on the DLQ more than once; "
            f"{len(result.stale_state)} devices with a stale state; "
            f"{len(result.unexpected)} records in the wrong place for their kind"
        )
    elif result.in_both:
        screen.print(f"{len(result.in_both)} records are both stored and dead-lettered")
    if not result.stored:
        screen.print("no record is stored: if the function expects other messages, see --payload")
    screen.heading("Where the records are")
    screen.table(
        ["table, queue, or bucket", "records"],
        [(place, str(records)) for place, records in sorted(result.by_place.items())],
    )


def _show_details(
    emulator: Emulator, deployment: Deployment, run: Run, options: Options, screen: Screen
) -> None:
    plan = run.plan()
    _show_archives(screen, emulator, run, plan)
    _show_alarms(screen, emulator, deployment, run)
    _show_chart_and_query(screen, emulator, run, plan, options)
    screen.heading("Limitations of the emulator")
    screen.table(["limitation", "replacement"], EMULATOR_GAPS)


def _show_archives(screen: Screen, emulator: Emulator, run: Run, plan: list[Message]) -> None:
    sent = len({identity for message in plan for identity in message.identities})
    for place in run.places.archives:
        archive = read_archive(emulator, place, plan)
        screen.heading("Raw archive")
        screen.print(
            f"{len(archive.records)} of {sent} records in {archive.objects} objects of "
            f"s3://{place} ({archive.bytes} bytes)"
        )
        if archive.example_key is not None:
            screen.print(f"example: {archive.example_key}")


def _show_alarms(screen: Screen, emulator: Emulator, deployment: Deployment, run: Run) -> None:
    depths = {
        url.rsplit("/", 1)[-1]: publish_queue_depth(emulator, url) for url in run.places.queues
    }
    states = alarm_states(emulator)
    if not states:
        return
    screen.heading("Alarms")
    math = {each.name for each in deployment.unsupported if each.type == ALARM}
    screen.table(
        ["alarm", "state", "metric"],
        [
            (each.name, each.state, "metric math" if each.name in math else each.metric)
            for each in states
        ],
    )
    published = ", ".join(f"{depth} in {name}" for name, depth in depths.items())
    screen.print(
        f"published the depth of the queues: {published or 'none'}; INSUFFICIENT_DATA: the emulator does not publish "
        "the metric, or no event occurred"
    )


def _show_chart_and_query(
    screen: Screen, emulator: Emulator, run: Run, plan: list[Message], options: Options
) -> None:
    series = [each.time_series for each in run.places.telemetry if each.time_series is not None]
    if not series:
        return
    table, device_id = series[0], plan[0].device_id
    found = chart.query_measurements(emulator.client("dynamodb"), table, device_id)
    screen.heading("Chart and query")
    screen.print(f"readings of {device_id} in {table}:")
    screen.table(
        ["measurement", "readings", "lowest", "over time", "highest"],
        [
            (name, str(len(values)), str(min(values)), chart.draw(values), str(max(values)))
            for name, values in sorted(found.items())
        ],
    )
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
