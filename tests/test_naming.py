"""Physical names: prefix, base name and suffix, within the rules of AWS and unique where AWS wants them to be."""

from __future__ import annotations

import json
import re
from typing import Any

import aws_cdk as cdk
import pytest
from constructs import Construct
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_constructs import (
    DevicePolicy,
    DeviceStateTable,
    MonitoredStream,
    NamePrefix,
    PipelineAlarms,
    QueryableArchive,
    SecureDataBucket,
    StreamArchive,
    StreamProcessor,
    TelemetryRule,
    TimeSeriesTable,
)
from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._naming import Names, NameType
from iot_constructs.environment import names_for
from tests.synth_support import (
    ACCOUNT,
    ENV,
    REGION,
    WholePipeline,
    fresh_app,
    fresh_stack,
    inline_code,
    physical_names,
    plain,
    template_of,
)

GENERATED = cdk.PhysicalName.GENERATE_IF_NEEDED
AWS = [  # the pages that each type names: shortest, longest, some allowed characters, some others
    (naming.BUCKET, 3, 63, "az09-", "A_./ "),
    (naming.STACK, 1, 128, "azAZ09-", "_. "),
    (naming.STREAM, 1, 128, "azAZ09_.-", " /#"),
    (naming.FUNCTION, 1, 64, "azAZ09_-", " ./"),
    (naming.TABLE, 3, 255, "azAZ09_.-", " /#"),
    (naming.TOPIC, 1, 256, "azAZ09_-", " ./"),
    (naming.QUEUE, 1, 80, "azAZ09_-", " ./"),
    (naming.RULE, 1, 128, "azAZ09_", "-. "),
    (naming.DEVICE_POLICY, 1, 128, "azAZ09_+=,.@-", " /#"),
    (naming.DELIVERY_STREAM, 1, 64, "azAZ09_.-", " /#"),
    (naming.DATABASE, 1, 255, "az09_", "A-. "),
    (naming.GLUE_TABLE, 1, 255, "az09_", "A-. "),
    (naming.WORKGROUP, 1, 128, "azAZ09_.-", " /#"),
    (naming.SAVED_QUERY, 1, 128, "azAZ09 _.,~/#", "\n\u00fc"),
    (naming.ALARM, 1, 255, "azAZ09_.-", " /#"),
    (naming.DASHBOARD, 1, 255, "azAZ09_-", " ./"),
]
TYPES = [row[0] for row in AWS]
IDS = [type.resource for type in TYPES]


def names(
    scope: Construct, id: str = "It", *, suffix: str = "dev", prefix: str | None = None
) -> Names:
    return names_for(scope, id, suffix, prefix)


# --- the rules of AWS --------------------------------------------------------------------------------------------


def test_every_type_is_in_the_table() -> None:
    assert [value for value in vars(naming).values() if isinstance(value, NameType)] == TYPES


@pytest.mark.parametrize(("type", "shortest", "longest"), [row[:3] for row in AWS], ids=IDS)
def test_lengths_up_to_the_limits_pass(type: NameType, shortest: int, longest: int) -> None:
    type.validate("n" * longest, "n", "dev")
    type.validate("n" * shortest, "n", "dev")
    type.validate("${Token[X.1]}" * 99, "n", "dev", longest)  # as long as its values will be
    with pytest.raises(ValueError) as too_long:
        type.validate("n" * (longest + 2), "base", "dev")
    assert str(too_long.value) == (
        f"{type.keyword}='base': the {type.resource} name '{'n' * (longest + 2)}' has {longest + 2} characters and "
        f"AWS allows {longest}; shorten {type.keyword}, name_prefix or the environment suffix 'dev' by 2 "
        f"({type.source})"
    )
    with pytest.raises(
        ValueError, match=f"^{type.keyword}='n': .* shorter than {shortest} "
    ) as short:
        type.validate("n" * (shortest - 1), "n", "dev")
    assert type.source in str(short.value)


@pytest.mark.parametrize(("type", "good", "bad"), [(row[0], *row[3:]) for row in AWS], ids=IDS)
def test_characters_are_those_of_aws(type: NameType, good: str, bad: str) -> None:
    type.validate("name", f"n{good}n", "dev")
    for character in bad:
        base = f"n{character}n"
        with pytest.raises(ValueError) as failure:
            type.validate("name", base, "dev")
        assert f"{type.keyword}={base!r}: {character!r} is not allowed" in str(failure.value)
        assert f"use {type.characters} ({type.source})" in str(failure.value)


@settings(deadline=None)
@given(st.sampled_from(TYPES), st.text(min_size=1, max_size=300))
def test_a_name_that_passes_is_one_that_aws_allows(type: NameType, base: str) -> None:
    name = f"{base}{type.separator}dev"
    try:
        type.validate(name, base, "dev")
    except ValueError:
        return
    assert re.fullmatch(f"[{type.characters}]{{{type.shortest},{type.longest}}}", name)


# --- prefix, base name, suffix -----------------------------------------------------------------------------------


def test_a_name_is_the_argument_or_else_prefix_and_default_before_the_suffix() -> None:
    it = names(fresh_stack(), suffix="pr-7", prefix="north-1")
    assert it.physical_name(naming.TABLE, None, "state") == "north-1-state-pr-7"
    assert it.physical_name(naming.TABLE, "mine", "state") == "mine-pr-7"
    assert it.physical_name(naming.RULE, None, "telemetry") == "north_1_telemetry_pr_7"
    assert it.physical_name(naming.RULE, "mine", "telemetry") == "mine_pr_7"
    assert it.physical_name(naming.TABLE, GENERATED, "state") == GENERATED


@pytest.mark.parametrize(
    ("base_name", "message"),
    [
        ("", "dlq_name='': the name is empty; remove dlq_name to get the default"),
        (
            cdk.Aws.REGION,
            f"dlq_name={cdk.Aws.REGION!r}: a token cannot be validated; pass a literal",
        ),
        ("a.b", "dlq_name='a.b': '.' is not allowed in the name of a SNS topic"),
        ("n" * 300, "shorten dlq_name, name_prefix or the environment suffix 'dev' by 48"),
    ],
)
def test_an_error_names_the_argument(base_name: str, message: str) -> None:
    with pytest.raises(ValueError) as failure:
        names(fresh_stack()).physical_name(naming.TOPIC, base_name, "default", "dlq_name")
    assert str(failure.value).startswith("dlq_name=")
    assert message in str(failure.value)


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        (defaults.NAME_PREFIX, "x" * defaults.ENVIRONMENT_SUFFIX_MAX_LENGTH),
        ("p" * defaults.NAME_PREFIX_MAX_LENGTH, "qa"),
    ],
)
def test_every_default_name_fits_with_a_long_prefix_and_suffix(prefix: str, suffix: str) -> None:
    stack = fresh_stack(suffix)
    NamePrefix(prefix).attach_to(stack)
    assert WholePipeline(stack).alarms.name_prefix.value == prefix


# --- buckets and dashboards --------------------------------------------------------------------------------------


def test_a_bucket_name_has_account_and_region() -> None:
    known, agnostic = fresh_stack(env=ENV), fresh_stack()
    assert names(known).bucket_name("data", "") == f"data-{ACCOUNT}-{REGION}-dev"
    assert plain(agnostic.resolve(names(agnostic, prefix="north").bucket_name(None, "data"))) == (
        "north-data-${AWS::AccountId}-${AWS::Region}-dev"
    )
    assert names(known).bucket_name(GENERATED, "data") == GENERATED


@pytest.mark.parametrize(
    ("env", "region_length"),
    [
        (None, defaults.LONGEST_REGION),
        (ENV, len(REGION)),
        (cdk.Environment(region="eu-west-1"), len("eu-west-1")),
    ],
)
def test_a_bucket_name_fits_with_the_longest_account_and_region(
    env: cdk.Environment | None, region_length: int
) -> None:
    stack = fresh_stack(env=env)
    room = 63 - defaults.LONGEST_ACCOUNT - region_length - len("dev") - len("---")
    it = names(stack)
    it.bucket_name("b" * room, "")
    logs = it.bucket_name("b" * room, "", "-logs")
    assert logs.startswith(f"{'b' * (room - 5)}-logs-")  # cut, so that it fits
    assert it.bucket_name(f"{'b' * (room - 7)}--xx", "", "-logs").startswith("bb")
    with pytest.raises(
        ValueError, match=r"has 64 characters and AWS allows 63; shorten bucket_name"
    ):
        it.bucket_name("b" * (room + 1), "")


def test_a_cut_base_name_does_not_end_in_a_hyphen() -> None:
    stack = fresh_stack(env=ENV)
    room = 63 - len(f"-{ACCOUNT}-{REGION}-dev") - len("-logs")
    base = f"{'b' * (room - 1)}-rest"
    assert names(stack).bucket_name(base, "", "-logs") == (
        f"{'b' * (room - 1)}-logs-{ACCOUNT}-{REGION}-dev"
    )


@pytest.mark.parametrize(
    ("base_name", "suffix", "message"),
    [
        ("-data", "dev", "bucket_name='-data': an S3 bucket name begins with a letter or digit"),
        *(
            (f"{start}data", "dev", f"and not with {', '.join(naming._RESERVED_BUCKET_BEGINNINGS)}")
            for start in naming._RESERVED_BUCKET_BEGINNINGS
        ),
        ("data", "a-s3alias", "environment_suffix='a-s3alias': S3 reserves"),
        ("data", "s3alias", "choose another suffix"),
        ("Data", "dev", "bucket_name='Data': 'D' is not allowed"),
        ("", "dev", "bucket_name='': the name is empty"),
        (cdk.Aws.REGION, "dev", "a token cannot be validated"),
    ],
)
def test_what_s3_reserves_is_rejected(base_name: str, suffix: str, message: str) -> None:
    with pytest.raises(ValueError) as failure:
        names(fresh_stack(), suffix=suffix).bucket_name(base_name, "")
    assert message in str(failure.value)


def test_a_dashboard_name_has_the_region_and_fits_with_the_longest() -> None:
    known, agnostic = names(fresh_stack(env=ENV)), names(fresh_stack())
    assert known.dashboard_name(None, "pipeline") == f"{known.prefix}-pipeline-{REGION}-dev"
    assert known.dashboard_name("mine", "") == f"mine-{REGION}-dev"
    assert known.dashboard_name(GENERATED, "") == GENERATED
    room = 255 - defaults.LONGEST_REGION - len("--dev")
    agnostic.dashboard_name("d" * room, "")
    with pytest.raises(ValueError, match=r"dashboard_name='d+': .* has 256 characters"):
        agnostic.dashboard_name("d" * (room + 1), "")


# --- one name, one resource --------------------------------------------------------------------------------------

OTHER_REGION = cdk.Environment(account=ACCOUNT, region="us-east-1")
OTHER_ACCOUNT = cdk.Environment(account="210987654321", region=REGION)


@pytest.mark.parametrize(
    ("type", "unique_in"),
    [
        (
            type,
            {"S3 bucket": "world", "CloudWatch dashboard": "account"}.get(type.resource, "region"),
        )
        for type in TYPES
    ],
    ids=IDS,
)
def test_a_name_is_unique_in_its_region_account_or_everywhere(
    type: NameType, unique_in: str
) -> None:
    app = fresh_app()
    stack = fresh_stack(app=app, id="A", env=ENV)
    names(stack, "First").reserve_name(type, "name")
    names(stack, "First").reserve_name(type, "name")  # its own
    for env, also_taken in (
        (ENV, True),
        (OTHER_REGION, unique_in != "region"),
        (OTHER_ACCOUNT, unique_in == "world"),
    ):
        other = names(fresh_stack(app=app, id=f"In{env.account}{env.region}", env=env))
        if also_taken:
            with pytest.raises(ValueError) as failure:
                other.reserve_name(type, "name")
            assert str(failure.value).startswith(f"{type.keyword}: the {type.resource} name 'name'")
            assert f"of '{other.scope.node.path}/It' is that of 'A/First' already" in str(
                failure.value
            )
            assert f"pass another {type.keyword}=, or set name_prefix=" in str(failure.value)
        else:
            other.reserve_name(type, "name")
    names(fresh_stack(env=ENV)).reserve_name(type, "name")  # another app
    names(stack).reserve_name(type, "other")
    names(stack).reserve_name(TYPES[TYPES.index(type) - 1], "name")  # another type


def test_unknown_accounts_and_regions_may_be_the_same() -> None:
    app = fresh_app()
    parameter = cdk.Environment(region=cdk.Fn.ref("Elsewhere"))
    DeviceStateTable(fresh_stack(app=app, id="A"), "State")
    with pytest.raises(ValueError, match="of 'B/State' is that of 'A/State' already"):
        DeviceStateTable(fresh_stack(app=app, id="B", env=parameter), "State")


def test_nested_stacks_and_stages_share_names() -> None:
    app = fresh_app()
    stack = fresh_stack(app=app, id="A")
    DeviceStateTable(stack, "State")
    for scope in (
        cdk.NestedStack(stack, "Nested"),
        cdk.Stack(cdk.Stage(app, "Stage"), "Other"),
        Construct(stack, "Part"),
    ):
        with pytest.raises(ValueError, match=r"^table_name: .* is that of 'A/State' already"):
            DeviceStateTable(scope, "State", environment_suffix="dev")
    DeviceStateTable(stack, "Prefix", name_prefix="other")
    DeviceStateTable(stack, "Name", table_name="other-name")
    DeviceStateTable(stack, "Suffix", environment_suffix="qa")


_COMPOSITES = {
    StreamProcessor: ("dlq_name", "function_name"),
    PipelineAlarms: ("alarm_topic_name", "composite_alarm_name", "dashboard_name"),
}


@pytest.mark.parametrize(
    ("construct", "keyword"),
    [(c, keyword) for c, keywords in _COMPOSITES.items() for keyword in keywords],
)
def test_a_composite_reports_the_keyword_of_each_of_its_names(construct: Any, keyword: str) -> None:
    stack = fresh_stack()
    settings = dict.fromkeys(_COMPOSITES[construct], GENERATED)
    code: Any = {"code": inline_code()} if construct is StreamProcessor else {}

    def create(id: str, name: str) -> None:
        stream = MonitoredStream(stack, f"{id}Stream", name_prefix=id)
        construct(stack, id, stream=stream, **{**settings, **code, keyword: name})

    create("a", "same")
    with pytest.raises(ValueError, match=f"^{keyword}: .* pass another {keyword}="):
        create("b", "same")
    with pytest.raises(ValueError, match=f"^{keyword}='a b': ' ' is not allowed"):
        create("c", "a b")


# --- two pipelines in one stack ----------------------------------------------------------------------------------


def test_two_whole_pipelines_in_one_stack_differ_by_one_word() -> None:
    stack = fresh_stack()
    for site in ("north", "south"):
        scope = Construct(stack, site)
        NamePrefix(site).attach_to(scope)
        WholePipeline(scope)
    found = template_of(stack)["Resources"]
    north, south = (
        {id: resource for id, resource in found.items() if id.startswith(site)}
        for site in ("north", "south")
    )
    names = [set(physical_names({"Resources": half}).values()) for half in (north, south)]
    shared = f"{defaults.ARCHIVE_TABLE_NAME}_dev"  # in a database of its own
    assert names[0] & names[1] == {shared}
    without_hashes = [
        re.sub(r"(north|south)(\w*?)[0-9A-F]{8}", r"site\2", json.dumps(half))
        for half in (north, south)
    ]
    assert without_hashes[0].replace("north", "site") == without_hashes[1].replace("south", "site")


def test_every_name_but_those_of_alarms_can_be_left_to_cloudformation() -> None:
    stack = fresh_stack()
    for site in ("north", "south"):
        scope = Construct(stack, site)
        NamePrefix(site).attach_to(scope)
        data = SecureDataBucket(scope, "Data", bucket_name=GENERATED)
        stream = MonitoredStream(scope, "Stream", stream_name=GENERATED)
        readings = TimeSeriesTable(scope, "Readings", table_name=GENERATED)
        state = DeviceStateTable(scope, "State", table_name=GENERATED)
        processor = StreamProcessor(
            scope,
            "Processor",
            stream=stream,
            code=inline_code(),
            function_name=GENERATED,
            dlq_name=GENERATED,
        )
        rule = TelemetryRule(
            scope, "Rule", stream=stream, dlq_topic=processor.dlq_topic, rule_name=GENERATED
        )
        DevicePolicy(scope, "Policy", policy_name=GENERATED)
        archive = StreamArchive(
            scope, "Archive", stream=stream, bucket=data, delivery_stream_name=GENERATED
        )
        queries = QueryableArchive(
            scope,
            "Queries",
            bucket=data,
            database_name=GENERATED,
            table_name=GENERATED,
            workgroup_name=GENERATED,
            results_bucket_name=GENERATED,
        )
        queries.add_saved_query("Mine", query_name=GENERATED, sql="SELECT 1")
        PipelineAlarms(
            scope,
            "Alarms",
            stream=stream,
            processor=processor,
            time_series_table=readings,
            device_state_table=state,
            archive=archive,
            rule=rule,
            alarm_topic_name=GENERATED,
            composite_alarm_name=GENERATED,
            dashboard_name=GENERATED,
        )
    template = template_of(stack)
    named: dict[str, list[str]] = {}
    for id, name in physical_names(template).items():
        named.setdefault(template["Resources"][id]["Type"], []).append(name)
    assert named.keys() == {
        "AWS::CloudWatch::Alarm",
        "AWS::Athena::WorkGroup",  # Athena and Glue have no names of CloudFormation
        "AWS::Athena::NamedQuery",
        "AWS::Glue::Database",
        "AWS::Glue::Table",
    }
    assert all(len(set(names)) == len(names) for names in named.values())
