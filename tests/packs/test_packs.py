"""Six packs of cdk-nag, cfn-lint and checkov have nothing to say that is not answered, and no answer is idle."""

from __future__ import annotations

import aws_cdk as cdk
import pytest
from aws_cdk import aws_iam as iam
from constructs import Construct

import iot_constructs
from docs.generate_compliance import COMPLIANCE_MD, compliance_md
from tests.packs.apps import ALONE, add_example
from tests.packs.finding import Finding
from tests.packs.nag import NAG_PACKS, synthesize
from tests.packs.results import Results, results
from tests.packs.template_scanners import CFN_LINT, CHECKOV
from tests.synth_support import fresh_app, fresh_stack


@pytest.fixture(scope="module")
def found() -> Results:
    return results()


def test_nothing_is_unanswered(found: Results) -> None:
    left = {name: run.unanswered for name, run in found.ours.items() if run.unanswered}
    assert left == {}
    assert len(found.ours) == 10


def test_every_pack_was_at_work(found: Results) -> None:
    """A pack that finds nothing in plain CDK was not run."""
    packs = {*NAG_PACKS, CFN_LINT, CHECKOV}
    assert {finding.pack for finding in found.plain.findings} == packs
    example = {
        f.pack for name, run in found.ours.items() if "example" in name for f in run.findings
    }
    assert example == packs


def test_every_acknowledgement_answers_a_finding(found: Results) -> None:
    idle = {
        (name, id, where)
        for name, run in found.ours.items()
        for id, where in set(run.acknowledgements)
        - {(f"{f.pack}::{f.rule}", f.answered_at) for f in run.findings}
    }
    assert idle == set()
    assert all(run.acknowledgements for run in found.ours.values())


def test_every_reason_names_its_source(found: Results) -> None:
    reasons = {finding.reason for run in found.ours.values() for finding in run.findings}
    assert reasons
    assert [reason for reason in reasons if "/latest/" not in reason] == []


def test_every_construct_is_looked_at_alone() -> None:
    constructs = {
        name
        for name in iot_constructs.__all__
        if issubclass(getattr(iot_constructs, name), Construct)
        and not issubclass(getattr(iot_constructs, name), cdk.Stack)
    }
    assert constructs == {name.partition(" ")[0] for name in ALONE}


def test_an_answer_hides_no_wildcard_of_the_user() -> None:
    """The processor's role may be granted anything; what it is granted is reported."""
    app = fresh_app()
    stack = add_example(app, "dev")
    stack.processor.grant_principal.add_to_principal_policy(
        iam.PolicyStatement(actions=["iot:Publish"], resources=["*"])
    )
    findings, _ = synthesize(app)
    assert [f for f in findings if not f.answered] == [
        Finding("AwsSolutions", "AwsSolutions-IAM5[Resource::*]", "Processor/Role/DefaultPolicy")
    ]


def test_a_limit_of_the_user_is_no_longer_answered_for() -> None:
    app = fresh_app()
    ALONE["StreamProcessor with what is given"](fresh_stack(app=app))
    _, acknowledgements = synthesize(app)
    assert acknowledgements
    assert [id for id, _ in acknowledgements if "LambdaConcurrency" in id] == []


def test_templates_hold_answers_only_where_a_scanner_reads_them(found: Results) -> None:
    places = {
        finding.answered_at.rpartition("/")[2]
        for run in found.ours.values()
        for finding in run.findings
        if finding.pack in (CFN_LINT, CHECKOV)
    }
    assert places == {
        "BucketNotificationsHandler050a0587b7544547bf325f094a3db834",
        "DataAccessLogs",
        "Function",
        "Handler",
        "ResultsAccessLogs",
        "checkov.yaml",
    }


def test_compliance_md_is_current(found: Results) -> None:
    """Here and not with the other generated pages: what the packs find takes a minute."""
    assert COMPLIANCE_MD.read_text(encoding="utf-8") == compliance_md(found), "run `make docs`"
