"""API.md is what the docstrings and the table of defaults say, and says it of everything."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import iot_constructs
from docs.generate_api import API_MD, SOURCES, api_md
from iot_constructs import rules
from iot_constructs.cli.main import _parser

_API = API_MD.read_text(encoding="utf-8")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(
        SOURCES, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    return tmp_path / "src"


def _change(sources: Path, module: str, old: str, new: str) -> None:
    path = sources / "iot_constructs" / module
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{module} has {old!r} {text.count(old)} times"
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_file_is_what_the_sources_say() -> None:
    assert api_md() == _API, "run `make docs`"


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("_defaults.py", 'HANDLER: Final = "handler.handler"', 'HANDLER: Final = "main.handler"'),
        ("_defaults.py", "# handler.py, function handler", "# module and function"),
        ("stream_processor.py", "batch_size: records an", "batch_size: readings an"),
        ("stream_processor.py", "handler: str = defaults", "handler: bytes = defaults"),
        ("telemetry_rule.py", '"""The IoT rule."""', '"""The rule."""'),
        ("_tables.py", '"""Writes that DynamoDB throttled', '"""Puts that DynamoDB throttled'),
    ],
    ids=["default", "reason", "argument", "type", "attribute", "inherited method"],
)
def test_a_change_in_the_sources_changes_it(sources: Path, module: str, old: str, new: str) -> None:
    _change(sources, module, old, new)
    assert api_md(sources) != _API


@pytest.mark.parametrize(
    ("module", "old", "new", "missing"),
    [
        ("telemetry_rule.py", "        stream: where the messages go.\n", "", "argument stream"),
        ("telemetry_rule.py", "        stream: where", "        streams: where", "argument stream"),
        ("telemetry_rule.py", '        """The IoT rule."""\n', "", "TelemetryRule.rule:"),
        ("_warnings.py", '"""An imported key', '_ = """An imported key', "keyPolicyNotChanged"),
    ],
    ids=["argument", "misspelt argument", "attribute", "warning"],
)
def test_what_no_docstring_describes_is_an_error(
    sources: Path, module: str, old: str, new: str, missing: str
) -> None:
    _change(sources, module, old, new)
    with pytest.raises(ValueError, match=re.escape(missing)):
        api_md(sources)


@pytest.mark.parametrize("name", [*iot_constructs.__all__, *rules.__all__])
def test_every_public_name_has_its_section(name: str) -> None:
    assert f"\n## {name}\n" in _API
    assert f"[{name}](#{name.lower()})" in _API


def test_every_construct_has_an_example_and_its_sources() -> None:
    for name in set(iot_constructs.__all__) - {"AlarmThresholds", "EnvironmentSuffix"}:
        section = _API.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert re.search(rf"```python\n(?!{name}\()[^`]*\b{name}\(", section), name
        assert "AWS sources: [FACTS" in section, name


def test_every_option_of_the_command_line_is_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in ("check", "redrive"):
        section = _API.split(f"\n### iot-constructs {command}\n")[1].split("\n### ")[0]
        with pytest.raises(SystemExit):
            _parser().parse_args([command, "--help"])
        options = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.M))
        assert {"--json"} <= options == set(re.findall(r"^\| `(--[a-z-]+)", section, re.M))
        assert "exit code: 0" in section
    assert (
        "| `--queue-url URL` | URL of the dead-letter queue (output DlqQueueUrl) (required) |"
        in _API
    )


def test_facts_and_corrections_are_links() -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", _API, flags=re.DOTALL)
    assert re.findall(r"(?<!\[)\bFACTS \d[^\n]{0,30}", prose) == []
    assert re.findall(r"(?<!\[)\bcorrections? \d[^\n]{0,30}", prose) == []
