"""``iot-constructs check``: input, output and exit codes."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import aws_cdk as cdk
import pytest
import yaml
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kinesis as kinesis

from iot_constructs import SuffixedStack
from iot_constructs.cli import check_command
from iot_constructs.cli.main import main
from iot_constructs.rules.catalogue import RULE_BY_ID
from tests.rules.fix_cases import merged
from tests.synth_support import fresh_app

Run = Callable[..., tuple[int, str, str]]

RECOVERY = "IOT_02_POINT_IN_TIME_RECOVERY"
NAMES = "IOT_01_ENVIRONMENT_SUFFIX"
ESCAPE = "\x1b"

CLEAN = "Resources: {Setting: {Type: AWS::SSM::Parameter, Properties: {Type: String, Value: x}}}\n"
TABLE = """\
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Readings:
    Type: AWS::DynamoDB::Table
    DeletionPolicy: Delete
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
"""
OTHER_TABLE = TABLE.partition("Resources:\n")[2].replace("Readings", "Latest")
MACRO = "Transform: OurOwnMacro\n" + CLEAN
NAMED = """\
Resources:
  Literal: {Type: AWS::SNS::Topic, Properties: {TopicName: alerts}}
  Computed: {Type: AWS::SNS::Topic, Properties: {TopicName: !Sub "alerts-${AWS::Region}"}}
"""

CONSUMER: Any = {
    "Transform": "AWS::Serverless-2016-10-31",
    "Resources": {
        "Consumer": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "Runtime": "python3.13",
                "Handler": "index.handler",
                "InlineCode": "pass",
                "Events": {
                    "Readings": {
                        "Type": "Kinesis",
                        "Properties": {
                            "Stream": "arn:aws:kinesis:eu-central-1:123456789012:stream/readings",
                            "StartingPosition": "LATEST",
                        },
                    }
                },
            },
        }
    },
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of its own, and a home without a .cfnlintrc."""
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(home))
    return work


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command: exit code, stdout, stderr."""

    def check(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["check", *arguments])
        return code, *capfd.readouterr()

    return check


def write(name: str, body: Any) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(body if isinstance(body, str) else json.dumps(body), "utf-8")
    return name


def found(out: str) -> list[tuple[str, str | None]]:
    return [(finding["rule"], finding["resource"]) for finding in json.loads(out)]


def of(rule: str, out: str) -> list[str | None]:
    return [resource for each, resource in found(out) if each == rule]


def is_refused(*arguments: str) -> bool:
    """Whether this is wrong usage."""
    with pytest.raises(SystemExit) as stop:
        main(["check", *arguments])
    return stop.value.code == 2


class TestExitCodes:
    def test_no_findings_is_0(self, run: Run) -> None:
        code, out, err = run(write("ok.yaml", CLEAN), "--suffix", "dev")
        assert (code, out, err) == (0, "no findings in 1 template.\n", "")

    def test_findings_are_1(self, run: Run) -> None:
        assert run(write("table.yaml", TABLE))[0] == 1

    def test_only_what_could_not_be_judged_is_2(self, run: Run) -> None:
        code, out, _ = run(write("macro.yaml", MACRO), "--suffix", "dev")
        assert code == 2
        assert "OurOwnMacro" in out
        assert out.endswith("no findings, 1 part not judged in 1 template.\n")

    def test_a_finding_beside_it_is_1(self, run: Run) -> None:
        code, out, _ = run(write("macro.yaml", MACRO), write("table.yaml", TABLE))
        assert code == 1
        assert "1 finding of 1 rule, 1 part not judged in 2 templates." in out

    def test_a_template_without_resources_is_not_clean(self, run: Run) -> None:
        assert run(write("none.yaml", "Resources: {}\n"))[0] == 2

    @pytest.mark.parametrize(
        ("name", "body", "said"),
        [
            ("template.yaml", "Resources: {A: [}", "template.yaml:1:"),
            ("template.json", '{"Resources": ', "template.json:1:"),
            ("template.json", "[]", "not a CloudFormation template"),
            ("template.yaml", "name: x", "no Resources"),
            ("empty.yaml", "", "empty"),
        ],
    )
    def test_a_file_that_cannot_be_read_is_2(
        self, run: Run, name: str, body: str, said: str
    ) -> None:
        code, out, err = run(write(name, body))
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert said in err

    def test_an_empty_argument_is_wrong_usage(self, run: Run) -> None:
        write("table.yaml", TABLE)  # in the directory that Path("") would be
        assert is_refused("")

    def test_a_file_or_template_that_is_not_there_is_2(self, run: Run) -> None:
        assert run("no.json") == (2, "", "error: no.json: No such file or directory\n")
        Path("empty").mkdir()
        assert run("empty")[:2] == (2, "")

    def test_wrong_usage_is_2(self) -> None:
        name = write("ok.yaml", CLEAN)
        assert is_refused()
        assert is_refused(name, "--suffix", "a b")
        assert is_refused(name, "--format", "html")

    def test_an_interrupt_is_130_without_a_traceback(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(check_command, "load", interrupt)
        assert run(write("ok.yaml", CLEAN)) == (130, "", "interrupted\n")


class TestText:
    def test_it_has_all_texts_of_the_rule_and_the_place(self, run: Run) -> None:
        _, out, _ = run(write("app/table.yaml", TABLE), "--suffix", "dev")
        rule = RULE_BY_ID[RECOVERY]
        assert out.startswith(f"{rule.id} ({rule.cfn_lint_id})\n")
        words = " ".join(out.split())
        assert f"{rule.info} {rule.explanation} {rule.source_url}" in words
        assert "  app/table.yaml:6:5 Readings Properties\n" in out
        assert "no point-in-time recovery" in out
        assert out.splitlines()[-1] == "1 finding of 1 rule in 1 template."

    def test_its_sentences_fit_into_80_columns(self, run: Run) -> None:
        _, out, _ = run(write("table.yaml", TABLE + OTHER_TABLE))
        assert [
            line for line in out.splitlines() if len(line) > 80 and "https://" not in line
        ] == []

    def test_findings_of_a_rule_are_in_the_order_of_the_file(self, run: Run) -> None:
        replica = "{Replicas: [{Region: eu-central-1}]}"
        first = f"  First: {{Type: AWS::DynamoDB::GlobalTable, Properties: {replica}}}\n"
        body = TABLE.replace("Resources:\n", f"Resources:\n{first}")
        assert of(RECOVERY, run(write("t.yaml", body), "--json")[1]) == ["First", "Readings"]

    def test_one_finding_has_a_fix_to_type_as_it_is(self, run: Run) -> None:
        _, out, _ = run(write("table.yaml", TABLE))
        assert "    fix:\n      Readings:\n        Properties:\n          PointInTime" in out

    def test_several_findings_of_a_kind_have_one_fix(self, run: Run) -> None:
        _, out, _ = run(write("table.yaml", TABLE + OTHER_TABLE))
        assert out.count("fix:") == 1
        assert "      <LogicalId>:\n        Properties:\n" in out

    def test_of_a_cdk_app_it_has_python(self, run: Run) -> None:
        app = fresh_app()
        dynamodb.CfnTable(cdk.Stack(app, "Plain"), "Table", key_schema=[])
        out = run(app.synth().directory, "--suffix", "dev")[1]
        assert "point_in_time_recovery_specification=dynamodb." in out
        assert "PointInTimeRecoverySpecification:" not in out


class TestFormats:
    def test_json_is_one_array(self, run: Run) -> None:
        code, out, err = run(write("table.yaml", TABLE), "--suffix", "dev", "--format", "json")
        assert code == 1
        [finding] = json.loads(out)
        fix = finding.pop("remediation")
        assert fix["cdk"].startswith("point_in_time_recovery_specification=")
        assert fix["cloudformation"].startswith("Readings:\n")
        rule = RULE_BY_ID[RECOVERY]
        assert finding.pop("detail").startswith("no point-in-time recovery")
        assert finding == {
            "rule": RECOVERY,
            "cfn_lint": "E9302",
            "template": "table.yaml",
            "line": 6,
            "column": 5,
            "resource": "Readings",
            "property": "Properties",
            "level": "error",
            "info": rule.info,
            "explanation": rule.explanation,
            "source_url": rule.source_url,
            "acknowledge": f"IotPipelineChecks::{RECOVERY}",
        }
        assert err == "1 finding of 1 rule in 1 template.\n"
        assert json.loads(run(write("ok.yaml", CLEAN), "--json")[1]) == []

    def test_github_annotations_are_escaped(self, run: Run) -> None:
        name = write("a,b:c.yaml", NAMED.replace("alerts}", '"100%"}'))
        _, out, _ = run(name, "--format", "github")
        [line] = [it for it in out.splitlines() if NAMES in it]
        command, _, message = line.removeprefix("::").partition("::")
        assert command == f"error file=a%2Cb%3Ac.yaml,line=2,col=49,title={NAMES}"
        assert message.startswith("Literal: name '100%25'")
        assert "%0Afix:%0A" in message

    def test_github_has_warnings(self, run: Run) -> None:
        out = run(write("macro.yaml", MACRO), "--format", "github")[1]
        assert out.startswith("::warning file=macro.yaml,line=1,")

    def test_sarif_is_in_our_name_and_relative_to_the_directory(self, run: Run) -> None:
        write("app/table.yaml", TABLE)
        [log] = json.loads(run("app", "--format", "sarif")[1])["runs"]
        driver = log["tool"]["driver"]
        assert driver["name"] == "iot-constructs"
        assert [rule["id"] for rule in driver["rules"]] == ["E9302"]
        [result] = log["results"]
        place = result["locations"][0]["physicalLocation"]
        assert (result["ruleId"], result["level"]) == ("E9302", "error")
        assert place["artifactLocation"]["uri"] == "app/table.yaml"
        assert (place["region"]["startLine"], place["region"]["startColumn"]) == (6, 5)

    def test_sarif_has_addresses(self, run: Run) -> None:
        write("my app/100%.yaml", TABLE)
        [log] = json.loads(run("my app", "--format", "sarif")[1])["runs"]
        [location] = log["results"][0]["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "my%20app/100%25.yaml"

    def test_junit_has_a_test_for_each_rule(self, run: Run) -> None:
        root = Xml.fromstring(run(write("table.yaml", TABLE), "--format", "junit")[1])
        cases = {case.attrib["name"].split()[1]: case for case in root.iter("testcase")}
        assert set(cases) == set(RULE_BY_ID)
        assert {name for name, case in cases.items() if case.find("failure") is not None} == {
            RECOVERY
        }

    def test_parseable_is_that_of_cfn_lint(self, run: Run) -> None:
        out = run(write("table.yaml", TABLE), "--format", "parseable")[1]
        assert out.startswith("table.yaml:6:5:6:15:E9302:Readings: no point-in-time recovery")

    def test_a_missing_package_is_named_with_its_extra(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "sarif_om", None)
        code, out, err = run(write("table.yaml", TABLE), "--format", "sarif")
        assert (code, out) == (2, "")
        assert "'sarif_om' is not installed; run: pip install 'iot-constructs[check]'" in err

    @pytest.mark.parametrize("format", ["text", "json", "github", "sarif", "parseable", "junit"])
    def test_control_characters_do_not_reach_the_terminal(self, run: Run, format: str) -> None:
        name = write(
            f"{ESCAPE}[2J.yaml", NAMED.replace("TopicName: alerts", 'TopicName: "\\e[2Jalerts"')
        )
        code, out, err = run(name, "--format", format)
        assert code == 1
        assert "[2Jalerts" in out
        assert ESCAPE not in out + err
        assert ESCAPE not in run(f"{ESCAPE}.json")[2]


class TestAccepted:
    @pytest.mark.parametrize(
        "rule", [RECOVERY, "IOT_02", "E9302", "iot_02", "IOT_02:Readings", "E9302:Readings"]
    )
    def test_by_an_option(self, run: Run, rule: str) -> None:
        code, out, _ = run(write("table.yaml", TABLE), "--ignore", rule, "--suffix", "dev")
        assert (code, out) == (0, "no findings, 1 accepted in 1 template.\n")

    @pytest.mark.parametrize("rule", ["IOT_03", "IOT_02:Latest"])
    def test_another_rule_or_resource_is_not(self, run: Run, rule: str) -> None:
        assert run(write("table.yaml", TABLE), "--ignore", rule)[0] == 1

    def test_what_could_not_be_judged(self, run: Run) -> None:
        assert run(write("macro.yaml", MACRO), "--ignore", "IOT_00")[0] == 0

    @pytest.mark.parametrize("rule", ["IOT_99", "", "E3012", "IOT_02:"])
    def test_an_unknown_rule_is_wrong_usage(self, rule: str) -> None:
        assert is_refused(write("ok.yaml", CLEAN), "--ignore", rule)

    @pytest.mark.parametrize(
        ("ids", "code"), [("[E9302]", 0), ("[E93]", 0), ("[E9303]", 1), ("['']", 1), ("E9302", 1)]
    )
    def test_by_the_metadata_of_the_template(self, run: Run, ids: str, code: int) -> None:
        metadata = f"Metadata: {{cfn-lint: {{config: {{ignore_checks: {ids}}}}}}}\n"
        assert run(write("table.yaml", metadata + TABLE))[0] == code

    @pytest.mark.parametrize(("ids", "code"), [("[E9302]", 0), ("[E93]", 1), ("[E9303]", 1)])
    def test_by_the_metadata_of_the_resource(self, run: Run, ids: str, code: int) -> None:
        metadata = f"Metadata: {{cfn-lint: {{config: {{ignore_checks: {ids}}}}}}}\n"
        body = TABLE.replace("    Properties:", f"    {metadata}    Properties:")
        assert run(write("table.yaml", body))[0] == code
        other = TABLE + OTHER_TABLE.replace("    Properties:", f"    {metadata}    Properties:")
        assert run(write("other.yaml", other))[0] == 1

    def test_by_the_metadata_of_a_serverless_resource(self, run: Run) -> None:
        body = (
            "Transform: AWS::Serverless-2016-10-31\n"
            "Resources:\n"
            "  Readings:\n"
            "    Type: AWS::Serverless::SimpleTable\n"
            "    DeletionPolicy: Delete\n"
        )
        metadata = "    Metadata: {cfn-lint: {config: {ignore_checks: [E9302]}}}\n"
        assert of(RECOVERY, run(write("sam.yaml", body), "--json")[1]) == ["Readings"]
        assert of(RECOVERY, run(write("sam.yaml", body + metadata), "--json")[1]) == []

    def test_by_the_metadata_of_a_resource_in_a_loop(self, run: Run) -> None:
        body = """\
Transform: AWS::LanguageExtensions
Resources:
  Fn::ForEach::Tables:
    - Name
    - [One]
    - ${Name}Table:
        Type: AWS::DynamoDB::Table
        DeletionPolicy: Delete
        METADATA
"""
        metadata = "Metadata: {cfn-lint: {config: {ignore_checks: [E9302]}}}"
        found = run(write("loop.yaml", body.replace("METADATA", "")), "--json")[1]
        assert of(RECOVERY, found) == ["OneTable"]
        assert run(write("loop.yaml", body.replace("METADATA", metadata)))[0] == 0

    def test_by_the_function_of_an_event(self, run: Run) -> None:
        body = json.loads(json.dumps(CONSUMER))
        name = write("sam.json", body)
        latest = "IOT_13_TRIM_HORIZON"
        assert of(latest, run(name, "--json")[1]) == ["Consumer"]
        for logical_id in ("Consumer", "ConsumerReadings"):
            assert of(latest, run(name, "--json", "--ignore", f"IOT_13:{logical_id}")[1]) == []
        metadata = {"cfn-lint": {"config": {"ignore_checks": ["E9313"]}}}
        body["Resources"]["Consumer"]["Metadata"] = metadata
        assert of(latest, run(write("sam.json", body), "--json")[1]) == []

    @pytest.mark.parametrize("file", [".cfnlintrc", ".cfnlintrc.yaml", "../home/.cfnlintrc.yml"])
    def test_by_the_config_file(self, run: Run, file: str) -> None:
        write(file, "ignore_checks: [E9302]\n")
        assert run(write("table.yaml", TABLE))[0] == 0
        write(file, "ignore_checks: [E3012]\n")
        assert run("table.yaml")[0] == 1

    def test_a_broken_config_file_is_wrong_usage(self) -> None:
        write(".cfnlintrc", "ignore_checks: [")
        assert is_refused(write("ok.yaml", CLEAN))

    def test_a_config_file_without_permission_is_wrong_usage(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        Path(".cfnlintrc").write_text("ignore_checks: []", encoding="utf-8")

        def read_text(path: Path, **_: Any) -> str:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "read_text", read_text)
        with pytest.raises(SystemExit) as error:
            main(["check", "template.yaml"])
        assert error.value.code == 2
        assert ".cfnlintrc: Permission denied" in capsys.readouterr().err


class TestSuffix:
    def names(self, run: Run, *arguments: str) -> list[str | None]:
        return of(NAMES, run(*arguments, "--json")[1])

    def test_with_it_every_name_is_checked(self, run: Run) -> None:
        assert self.names(run, write("n.yaml", NAMED), "--suffix", "dev") == ["Literal", "Computed"]
        assert (
            self.names(run, write("n.yaml", NAMED.replace("alerts", "a-dev")), "--suffix", "DEV")
            == []
        )

    def test_without_it_only_literal_names_are_checked_with_a_note(self, run: Run) -> None:
        assert self.names(run, write("named.yaml", NAMED)) == ["Literal"]
        assert "Without --suffix" in run(write("ok.yaml", CLEAN))[1]
        assert "Without --suffix" in run("ok.yaml", "--json")[2]

    def test_it_wins_over_the_tags_of_a_stack(self, run: Run) -> None:
        app = fresh_app()
        stack = SuffixedStack(app, "Telemetry", environment_suffix="dev")
        kinesis.CfnStream(stack, "Stream", name="readings-dev", shard_count=1)
        assembly = app.synth().directory
        assert self.names(run, assembly) == []
        assert "Stream" in self.names(run, assembly, "--suffix", "prod")

    def test_it_can_stand_in_the_config_file(self, run: Run) -> None:
        write(".cfnlintrc", "configure_rules: {E9301: {suffix: dev}}\n")
        assert self.names(run, write("named.yaml", NAMED)) == ["Literal", "Computed"]
        assert self.names(run, "named.yaml", "--suffix", "region") == ["Literal", "Computed"]


class TestWhatIsRead:
    def test_several_templates_are_one_app(self, run: Run) -> None:
        failures = """\
Resources:
  Dlq: {Type: AWS::SNS::Topic}
  Rule:
    Type: AWS::Lambda::EventInvokeConfig
    Properties:
      FunctionName: f
      Qualifier: $LATEST
      DestinationConfig: {OnFailure: {Destination: !Ref Dlq}}
Outputs: {Arn: {Value: !Ref Dlq, Export: {Name: dlq}}}
"""
        subscription = """\
Resources:
  Subscription:
    Type: AWS::SNS::Subscription
    Properties: {Protocol: email, TopicArn: !ImportValue dlq, Endpoint: ops@example.com}
"""
        first, second = write("a.yaml", failures), write("b.yaml", subscription)
        assert of("IOT_12_DLQ_SUBSCRIBER", run(first, "--json")[1]) == ["Dlq"]
        assert of("IOT_12_DLQ_SUBSCRIBER", run(first, second, "--json")[1]) == []

    def test_an_assembly_with_stages_and_nested_stacks(self, run: Run) -> None:
        app = fresh_app()
        stack = SuffixedStack(cdk.Stage(app, "Stage"), "Telemetry", environment_suffix="dev")
        dynamodb.CfnTable(cdk.NestedStack(stack, "Nested"), "Table", key_schema=[])
        kinesis.Stream(cdk.Stack(app, "Plain"), "Stream")
        code, out, _ = run(app.synth().directory, "--suffix", "dev", "--json")
        assert code == 1
        assert of(RECOVERY, out) == ["Table"]
        # Only the plain stack: the other one sets its protection and has the suffix in its name.
        stacks = [it for it in json.loads(out) if it["resource"] is None]
        assert {it["rule"] for it in stacks} == {NAMES, "IOT_05_TERMINATION_PROTECTION"}
        assert {it["template"] for it in stacks} == {str(Path(app.outdir) / "Plain.template.json")}

    def test_the_standard_input(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TABLE.encode())))
        code, out, _ = run("-")
        assert code == 1
        assert "\n  -:6:5 Readings Properties\n" in out

    def test_a_template_that_is_named_twice_is_read_once(self, run: Run) -> None:
        name = write("templates/b.yaml", TABLE)
        assert "1 finding of 1 rule in 1 template." in run(name, "templates", f"./{name}")[1]

    def test_files_that_are_not_templates_are_skipped_on_request(self, run: Run) -> None:
        other = write("compose.yaml", "services: {}\n")
        assert run(other)[0] == 2
        assert run(other, "--skip-others", "--suffix", "dev") == (0, "no template was given.\n", "")
        assert run(other, write("table.yaml", TABLE), "--skip-others")[0] == 1
        assert run("no.yaml", "--skip-others")[0] == 2
        assert run(write("broken.yaml", f"{TABLE}  A: ["), "--skip-others")[0] == 2

    def test_findings_and_fixes_of_an_event_are_in_terms_of_the_author(self, run: Run) -> None:
        body = json.loads(json.dumps(CONSUMER))
        name = write("sam.json", body)
        event = "Properties/Events/Readings/Properties"
        before = [it for it in json.loads(run(name, "--json")[1]) if event in it["property"]]
        assert {it["rule"][4:6] for it in before} >= {"03", "06", "13", "14", "15", "16"}
        assert {it["resource"] for it in before} == {"Consumer"}
        for finding in before:
            fix = yaml.safe_load(finding["remediation"]["cloudformation"])
            body["Resources"] = merged(body["Resources"], fix)
        after = json.loads(run(write("sam.json", body), "--json")[1])
        assert [it for it in after if event in it["property"]] == []


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the command in a process that names on stderr what it should not have imported."""
    program = (
        "import atexit, sys\n"
        "slow = {'aws_cdk', 'jsii', 'cfnlint', 'samtranslator'}\n"
        "atexit.register(lambda: print(*slow & set(sys.modules), file=sys.stderr, end=''))\n"
        "from iot_constructs.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, "check", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def test_it_needs_no_node_and_imports_nothing_slow() -> None:
    name = write("table.yaml", TABLE)
    with start(name, JSII_NODE="/no/such/node", PATH="/no/such/folder") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (1, "")
    assert RECOVERY in out


def test_a_full_disk_is_2_without_a_traceback() -> None:
    name = write("table.yaml", TABLE)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "iot_constructs.cli", "check", name],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr == "error: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("tables", [0, 2000])
def test_a_closed_pipe_ends_without_a_traceback(tables: int) -> None:
    more = "".join(OTHER_TABLE.replace("Latest", f"Table{number}") for number in range(tables))
    with start(write("tables.yaml", TABLE + more)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


def test_help_imports_nothing_slow() -> None:
    with start("--help") as process:
        out, err = process.communicate()
    assert err == ""
    assert "--format" in out
