"""``iot-constructs check``: input, output and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_

from iot_constructs import MonitoredStream, SuffixedStack
from iot_constructs.cli.main import main
from iot_constructs.rules.catalogue import RULE_BY_ID
from tests.synth_support import fresh_app

Run = Callable[..., tuple[int, str, str]]

COMPLIANT = {"Resources": {"Logs": {"Type": "AWS::Logs::LogGroup"}}}
LATEST = {
    "Resources": {
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "FunctionName": "processor",
                "EventSourceArn": "arn:aws:kinesis:eu-central-1:123456789012:stream/readings",
                "StartingPosition": "LATEST",
            },
        }
    }
}
NAMED = {
    "Resources": {
        "Literal": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "alerts"}},
        "Computed": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": {"Fn::Sub": "alerts-${AWS::Region}"}},
        },
    }
}
NAMES = "IOT_01_ENVIRONMENT_SUFFIX"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in a directory of its own: exit code, stdout, stderr."""

    def check(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main(["check", *arguments])
        return code, *capfd.readouterr()

    return check


def write(name: str, body: Any) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(body if isinstance(body, str) else json.dumps(body))
    return name


def rules(out: str) -> set[str]:
    return {finding["rule"] for finding in json.loads(out)}


class TestAnswers:
    def test_no_findings_is_0(self, run: Run) -> None:
        code, out, err = run(write("ok.json", COMPLIANT), "--suffix", "dev")
        assert (code, out, err) == (0, "no findings in 1 stack\n", "")

    def test_findings_are_1_with_all_texts_of_the_rule(self, run: Run) -> None:
        code, out, _ = run(write("app/wrong.json", LATEST), "--suffix", "dev")
        assert code == 1
        rule = RULE_BY_ID["IOT_13_TRIM_HORIZON"]
        for text in (rule.id, rule.info, rule.explanation, rule.source_url):
            assert text in out
        assert "  - app/wrong.json Mapping Properties/StartingPosition\n" in out
        assert "    StartingPosition is LATEST" in out
        assert out.splitlines()[-1].startswith("7 findings of 6 rules in 1 stack")

    def test_json_is_one_array(self, run: Run) -> None:
        code, out, _ = run(write("wrong.json", LATEST), "--suffix", "dev", "--json")
        assert code == 1
        [found] = [it for it in json.loads(out) if it["rule"] == "IOT_13_TRIM_HORIZON"]
        assert found["template"] == "wrong.json"
        assert found["resource"] == "Mapping"
        assert found["property"] == "Properties/StartingPosition"
        assert found["acknowledge"] == "IotPipelineChecks::IOT_13_TRIM_HORIZON"
        assert json.loads(run(write("ok.json", COMPLIANT), "--json")[1]) == []

    def test_control_characters_of_a_template_do_not_reach_the_terminal(self, run: Run) -> None:
        body = json.dumps(NAMED).replace("alerts", "\\u001b[2Jalerts")
        _, out, _ = run(write("wrong.json", body))
        assert "\x1b" not in out


class TestSuffix:
    def test_with_it_every_name_is_checked(self, run: Run) -> None:
        _, out, _ = run(write("named.json", NAMED), "--suffix", "dev", "--json")
        assert [it["resource"] for it in json.loads(out) if it["rule"] == NAMES] == [
            "Literal",
            "Computed",
        ]

    def test_without_it_only_literal_names_are_checked_with_a_note(self, run: Run) -> None:
        code, out, err = run(write("named.json", NAMED), "--json")
        assert code == 1
        assert [it["resource"] for it in json.loads(out)] == ["Literal"]
        assert "without --suffix" in err
        assert "without --suffix" in run(write("ok.json", COMPLIANT))[1]

    def test_an_illegal_one_is_wrong_usage(self, run: Run) -> None:
        with pytest.raises(SystemExit) as stop:
            run(write("ok.json", COMPLIANT), "--suffix", "a b")
        assert stop.value.code == 2


class TestWhatIsRead:
    def test_several_templates_are_one_app(self, run: Run) -> None:
        queue: Any = {"Resources": {"Dlq": {"Type": "AWS::SQS::Queue"}}}
        topic = {
            "Resources": {
                "Dlq": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "failed-dev"}},
                "Rule": {
                    "Type": "AWS::Lambda::EventInvokeConfig",
                    "Properties": {
                        "FunctionName": "f",
                        "Qualifier": "$LATEST",
                        "DestinationConfig": {"OnFailure": {"Destination": {"Ref": "Dlq"}}},
                    },
                },
            },
            "Outputs": {"Arn": {"Value": {"Ref": "Dlq"}, "Export": {"Name": "dlq"}}},
        }
        subscription = {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "Protocol": "sqs",
                "TopicArn": {"Fn::ImportValue": "dlq"},
                "Endpoint": {"Fn::GetAtt": ["Dlq", "Arn"]},
            },
        }
        queue["Resources"]["Subscription"] = subscription
        first, second = write("topic.json", topic), write("queue.json", queue)
        assert "IOT_12_DLQ_SUBSCRIBER" in rules(run(first, "--json")[1])
        assert "IOT_12_DLQ_SUBSCRIBER" not in rules(run(first, second, "--json")[1])

    def test_an_assembly_with_stages_nested_stacks_and_the_facts_of_its_manifest(
        self, run: Run
    ) -> None:
        app = fresh_app()
        stack = SuffixedStack(cdk.Stage(app, "Stage"), "Telemetry", environment_suffix="dev")
        stream = MonitoredStream(stack, "Stream")
        lambda_.CfnEventSourceMapping(
            cdk.NestedStack(stack, "Nested"),
            "Mapping",
            function_name="processor",
            event_source_arn=stream.stream_arn,
            starting_position="LATEST",
        )
        kinesis.Stream(cdk.Stack(app, "Plain"), "Stream")
        code, out, _ = run(app.synth().directory, "--suffix", "dev", "--json")
        found = {(it["rule"][:6], it["resource"]) for it in json.loads(out)}
        assert code == 1
        assert ("IOT_13", "Mapping") in found
        # Only the plain stack: the other one sets its protection and has the suffix in its name.
        assert {it for it in found if it[1] is None} == {("IOT_01", None), ("IOT_05", None)}
        assert {it["template"] for it in json.loads(out) if it["resource"] is None} == {
            str(Path(app.outdir) / "Plain.template.json")
        }

    def test_the_suffix_of_the_option_comes_before_that_of_a_stack(self, run: Run) -> None:
        app = fresh_app()
        stack = SuffixedStack(app, "Telemetry", environment_suffix="dev")
        kinesis.Stream(stack, "Stream", stream_name="readings-dev")
        folder = app.synth().directory
        _, out, _ = run(folder, "--suffix", "prod", "--json")
        named = [it for it in json.loads(out) if it["rule"] == NAMES]
        assert len(named) == 2  # the stream and the stack
        assert all("suffix 'prod'" in it["detail"] for it in named)
        assert NAMES not in rules(run(folder, "--json")[1])

    def test_a_directory_without_a_manifest(self, run: Run) -> None:
        write("templates/a.template.json", COMPLIANT)
        write("templates/b.template.json", LATEST)
        write("templates/settings.json", {"not": "a template"})
        code, out, _ = run("templates", "--suffix", "dev")
        assert code == 1
        assert "in 2 stacks" in out

    def test_a_template_that_is_named_twice_is_read_once(self, run: Run) -> None:
        name = write("templates/b.template.json", LATEST)
        assert "7 findings of 6 rules in 1 stack" in run(name, "templates", name)[1]


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(
        ("name", "body", "said"),
        [
            ("template.yaml", "Resources: {}", "YAML is not supported"),
            ("template.YML", "Resources: {}", "convert it"),
            ("template.json", "Resources: {}", "not JSON"),
            ("template.json", "[]", "not a JSON object"),
            ("template.json", '{"name": "x"}', "no Resources"),
            ("template.json", '{"Resources": []}', "not an object"),
        ],
    )
    def test_a_file(self, run: Run, name: str, body: str, said: str) -> None:
        code, out, err = run(write(name, body))
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert said in err

    def test_a_file_that_is_not_there(self, run: Run) -> None:
        assert run("nothing.json") == (2, "", "error: nothing.json: No such file or directory\n")

    def test_an_empty_directory(self, run: Run) -> None:
        Path("empty").mkdir()
        code, _, err = run("empty")
        assert code == 2
        assert "*.template.json" in err

    def test_node_that_is_not_there(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JSII_NODE", "/no/such/node")
        code, out, err = run(write("ok.json", COMPLIANT))
        assert (code, out) == (2, "")
        assert "JSII_NODE" in err

    def test_no_template_at_all(self) -> None:
        with pytest.raises(SystemExit) as stop:
            main(["check"])
        assert stop.value.code == 2


def test_help_starts_no_cdk() -> None:
    program = (
        "import sys; from iot_constructs.cli.main import main\n"
        "try: main(['check', '--help'])\n"
        "except SystemExit: assert 'aws_cdk' not in sys.modules, 'CDK was started'"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert "exit code: 0 no findings" in done.stdout
