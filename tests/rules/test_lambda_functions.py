"""IOT_23: functions that consume a stream have an asynchronous failure path."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rules.compliant_pipeline import Json, att, compliant, ref, resource
from tests.rules.compliant_pipeline import found as all_found


def found(resources: dict[str, Json]) -> list[tuple[str, str | None]]:
    return [it for it in all_found(resources) if it[0] == "IOT_23"]


class TestAsyncPath:
    def test_none(self) -> None:
        resources = compliant()
        del resources["InvokeConfig"]
        assert found(resources) == [("IOT_23", "Processor")]

    @pytest.mark.parametrize(
        "config", [None, {"OnSuccess": {"Destination": att("DlqQueue")}}, {"OnFailure": {}}]
    )
    def test_a_config_without_a_destination(self, config: Json | None) -> None:
        resources = compliant()
        properties = resources["InvokeConfig"]["Properties"]
        del properties["DestinationConfig"]
        if config is not None:
            properties["DestinationConfig"] = config
        assert found(resources) == [("IOT_23", "Processor")]

    def test_a_config_of_another_function(self) -> None:
        resources = compliant()
        resources["Other"] = resource("AWS::Lambda::Function")
        resources["InvokeConfig"]["Properties"]["FunctionName"] = ref("Other")
        assert found(resources) == [("IOT_23", "Processor")]

    def test_a_config_of_a_function_that_only_the_deployment_knows(self) -> None:
        resources = compliant()
        resources["InvokeConfig"]["Properties"]["FunctionName"] = ref("Name")
        assert found(resources) == []

    def test_the_functions_own_dead_letter_queue(self) -> None:
        resources = compliant()
        del resources["InvokeConfig"]
        resources["Processor"]["Properties"]["DeadLetterConfig"] = {"TargetArn": att("DlqQueue")}
        assert found(resources) == []

    def test_in_some_environments_only(self) -> None:
        resources = compliant()
        config = resources["InvokeConfig"]["Properties"]
        config["DestinationConfig"] = {
            "Fn::If": ["IsProd", config["DestinationConfig"], ref("AWS::NoValue")]
        }
        assert found(resources) == []
        del resources["InvokeConfig"]
        resources["Processor"]["Properties"]["DeadLetterConfig"] = {
            "Fn::If": ["IsProd", {"TargetArn": att("DlqQueue")}, ref("AWS::NoValue")]
        }
        assert found(resources) == []

    @pytest.mark.parametrize("kind", ["Alias", "Version"])
    def test_a_config_of_an_alias_or_version(self, kind: str) -> None:
        resources = compliant()
        resources["It"] = resource(f"AWS::Lambda::{kind}", FunctionName=ref("Processor"))
        resources["InvokeConfig"]["Properties"]["FunctionName"] = ref("It")
        assert found(resources) == []

    def test_functions_that_read_no_stream_are_left_alone(self) -> None:
        resources = compliant()
        resources["Helper"] = resource("AWS::Lambda::Function", Handler="index.handler")
        assert found(resources) == []

    @pytest.mark.parametrize(
        "name",
        [
            "iot-processor-dev",
            "iot-processor-dev:live",
            "123456789012:function:iot-processor-dev",
            "arn:aws:lambda:eu-central-1:123456789012:function:iot-processor-dev:live",
            {"Fn::Sub": "${Processor}:live"},
            {"Fn::Join": ["", [att("Processor"), ":live"]]},
            ref("Live"),
        ],
    )
    def test_the_mapping_names_the_function_alias_or_version(self, name: Any) -> None:
        resources = compliant()
        del resources["InvokeConfig"]
        resources["Live"] = resource(
            "AWS::Lambda::Alias", FunctionName=ref("Processor"), Name="live"
        )
        resources["Mapping"]["Properties"]["FunctionName"] = name
        assert found(resources) == [("IOT_23", "Processor")]

    @pytest.mark.parametrize("name", ["other", "other:iot-processor-dev", ref("Name")])
    def test_the_mapping_names_another_function(self, name: Any) -> None:
        resources = compliant()
        del resources["InvokeConfig"]
        resources["Mapping"]["Properties"]["FunctionName"] = name
        assert found(resources) == []

    def test_the_stream_is_certain(self) -> None:
        resources = compliant()
        del resources["InvokeConfig"]
        resources["Mapping"]["Properties"]["EventSourceArn"] = ref("StreamArn")
        assert found(resources) == []
