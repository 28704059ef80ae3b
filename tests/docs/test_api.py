"""API.md describes every public name, from the docstrings and the table of defaults."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from constructs import Construct

import iot_constructs
from docs.generate_api import API_MD, SOURCES, api_md
from iot_constructs import _defaults as defaults
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


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("_defaults.py", f'HANDLER: Final = "{defaults.HANDLER}"', 'HANDLER: Final = "other"'),
        ("_defaults.py", "# handler.py, function handler", "# module and function"),
        (
            "_defaults.py",
            '"shard_count": NumberLimit(\n        1,',
            '"shard_count": NumberLimit(7,',
        ),
        ("processing.py", "stream: the stream to read", "stream: the source to read"),
        ("processing.py", "dlq_name: str | None = None,", "dlq_name: str = 'x',"),
        ("processing.py", "**props: of ``lambda_.Function``", "**props: also of ``Function``"),
        ("ingestion.py", '"""The IoT rule."""', '"""The rule."""'),
        ("tables.py", '"""The customer managed key of', '"""The key of'),
        ("_alarms.py", '"""Data is lost, or', '"""Data are lost, or'),
    ],
    ids=[
        "default",
        "reason",
        "limit",
        "argument",
        "type",
        "properties of the L2",
        "attribute",
        "inherited attribute",
        "member of an enumeration",
    ],
)
def test_a_change_in_the_sources_changes_it(sources: Path, module: str, old: str, new: str) -> None:
    _change(sources, module, old, new)
    assert api_md(sources) != _API


@pytest.mark.parametrize(
    ("module", "old", "new", "missing"),
    [
        ("ingestion.py", "        stream: the stream for the messages.\n", "", "argument stream"),
        (
            "ingestion.py",
            "        stream: the stream for",
            "        streams: for",
            "argument stream",
        ),
        (
            "tables.py",
            "        retention: how long",
            "        kept: how long",
            "argument retention",
        ),
        ("streams.py", "        **props: of ``kin", "        props: of ``kin", "argument **props"),
        ("ingestion.py", '        """The IoT rule."""\n', "", "TelemetryRule.rule:"),
        ("ingestion.py", "self.rule: iot.CfnTopicRule =", "self.rule =", "TelemetryRule.rule:"),
        ("_warnings.py", '"""An imported key', '_ = """An imported key', "keyPolicyNotChanged"),
    ],
    ids=[
        "argument",
        "misspelt argument",
        "renamed argument",
        "properties",
        "attribute",
        "type",
        "warning",
    ],
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
    constructs = [
        name
        for name in iot_constructs.__all__
        if issubclass(getattr(iot_constructs, name), Construct)
    ]
    assert constructs
    for name in constructs:
        section = _API.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert re.search(rf"```python\n(?!{name}\()[^`]*\b{name}\(", section), name
        assert "](https://docs.aws.amazon.com/" in section or "](#defaults-" in section, name


def test_the_l2_of_a_construct_is_a_link() -> None:
    page = "https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_s3/Bucket.html"
    assert f"[`aws_cdk.aws_s3.Bucket`]({page})" in _API
    assert "    **props: Unpack[BucketProps],\n)" in _API


def test_every_option_of_the_command_line_is_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in ("check", "redrive"):
        section = _API.split(f"\n### iot-constructs {command}\n")[1].split("\n### ")[0]
        with pytest.raises(SystemExit):
            _parser().parse_args([command, "--help"])
        options = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.M))
        assert {"--json"} <= options == set(re.findall(r"^\| `(--[a-z-]+)", section, re.M))
        assert "exit codes:\n  0  " in section
    assert (
        "| `--queue-url URL` | URL of the dead-letter queue (output DlqQueueUrl) (required) |"
        in _API
    )


def test_sources_are_links() -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", _API, flags=re.DOTALL)
    assert re.findall(r"(?<!\[)\bFACTS \d[^\n]{0,30}", prose) == []
    assert re.findall(r"(?<!\()https://docs\.aws[^\n]{0,30}", prose) == []
