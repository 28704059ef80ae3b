"""Node.js, the CDK CLI and its installation, with a stand-in for npm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from iot_constructs.local import toolchain
from iot_constructs.local.toolchain import CDK_VERSION, ToolError, cdk, install_cdk

ROOT = Path(__file__).resolve().parents[2]
CLI = Path("node_modules", "aws-cdk", "bin", "cdk")
# Installs what npm would, or reports what npm reports offline.
FAKE_NPM = """
import json, os, pathlib, sys, tempfile, time
with open(os.environ["CALLS"], "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
pathlib.Path(tempfile.mkdtemp(), "compiled").touch()
if os.environ.get("OFFLINE"):
    sys.exit(os.environ["OFFLINE"])
time.sleep(0.2)
package = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1], "node_modules", "aws-cdk")
(package / "bin").mkdir(parents=True)
(package / "bin" / "cdk").touch()
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the calls of npm. No CLI is on PATH or in the environment."""
    npm = tmp_path / "npm.py"
    npm.write_text(FAKE_NPM, encoding="utf-8")
    monkeypatch.setattr(toolchain, "_npm", lambda: [sys.executable, str(npm)])
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    return tmp_path / "calls"


def put_cli(folder: Path, version: str, name: str = "aws-cdk") -> Path:
    package = folder / "node_modules" / "aws-cdk"
    (package / "bin").mkdir(parents=True)
    (package / "bin" / "cdk").touch(mode=0o755)
    content = json.dumps({"name": name, "version": version})
    package.joinpath("package.json").write_text(content, encoding="utf-8")
    return package / "bin" / "cdk"


def test_the_cli_is_installed_once_into_the_cache(calls: Path, tmp_path: Path) -> None:
    installed = cdk()
    assert installed == tmp_path / "cache" / "iot-constructs" / f"aws-cdk-{CDK_VERSION}" / CLI
    assert installed.exists()
    assert cdk() == installed
    (call,) = calls.read_text(encoding="utf-8").splitlines()
    assert call.startswith("install ")
    assert call.endswith(f" aws-cdk@{CDK_VERSION}")
    # Neither a lock file nor a half-installed folder remains.
    assert [each.name for each in installed.parents[4].iterdir()] == [f"aws-cdk-{CDK_VERSION}"]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_two_runs_at_once_install_the_same_cli(calls: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "cli"
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(install_cdk, [folder, folder]))
    assert found == [folder / CLI] * 2
    assert len(calls.read_text(encoding="utf-8").splitlines()) == 2
    assert [each.name for each in folder.parent.iterdir()] == ["cli"]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("npm error code ENOTFOUND\nnpm error network request to registry failed", "ENOTFOUND"),
        (
            "npm error   errno: -111,\nnpm error   code: 'ENOTFOUND',\nnpm error   syscall: 'connect'",
            "ENOTFOUND",
        ),
        ("npm error code SELF_SIGNED_CERT_IN_CHAIN", "SELF_SIGNED_CERT_IN_CHAIN"),
        ("npm error\nnpm error the disk is full", "npm error the disk is full"),
    ],
)
def test_offline_it_says_what_to_do(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, reason: str
) -> None:
    monkeypatch.setenv("OFFLINE", output)
    with pytest.raises(ToolError) as error:
        cdk()
    text = str(error.value)
    assert f"({reason})" in text
    assert "connect to npm's registry" in text
    assert f"npm install -g aws-cdk@{CDK_VERSION}" in text
    assert "\n" not in text
    assert list((tmp_path / "cache" / "iot-constructs").iterdir()) == []


@pytest.mark.parametrize(
    ("version", "name", "used"),
    [
        (CDK_VERSION, "aws-cdk", True),
        ("3.0.0", "aws-cdk", True),
        ("2.1.0", "aws-cdk", False),
        ("9.0.0", "another", False),
    ],
)
@pytest.mark.parametrize("where", ["path", "environment"])
def test_a_cli_that_is_there_is_used_unless_it_is_too_old(
    calls: Path, tmp_path: Path, version: str, name: str, used: bool, where: str
) -> None:
    if where == "environment":
        there = put_cli(tmp_path / "prefix" / "cdk", version, name)
    else:
        there = put_cli(tmp_path / "global", version, name)
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "cdk").symlink_to(there)
    assert (cdk() == there) is used
    assert calls.exists() is not used


def test_a_script_named_cdk_is_not_the_cli(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cdk").touch(mode=0o755)
    assert tmp_path / "cache" in cdk().parents


@pytest.mark.parametrize(
    ("configured", "platform", "expected"),
    [
        ("/c", "linux", Path("/c")),
        ("", "linux", Path("/h/.cache")),
        ("relative", "linux", Path("/h/.cache")),
        ("", "darwin", Path("/h/Library/Caches")),
    ],
)
def test_cache_folder(
    monkeypatch: pytest.MonkeyPatch, configured: str, platform: str, expected: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", configured)
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setattr(sys, "platform", platform)
    assert toolchain.cache_folder() == expected / "iot-constructs"


def test_a_cache_that_cannot_be_written(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    with pytest.raises(ToolError, match=r"to /dev/null/iot-constructs: .*; set XDG_CACHE_HOME"):
        cdk()
    assert not calls.exists()


def test_a_user_without_a_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    with pytest.raises(ToolError, match="set HOME to a folder"):
        toolchain.cache_folder()


def test_without_node_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(toolchain, "_node_wheel", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"pip install 'iot-constructs\[local\]'"):
        toolchain.node()
    with pytest.raises(ToolError, match=r"pip install 'iot-constructs\[local\]'"):
        toolchain._npm()


def test_npm_comes_with_the_wheel() -> None:
    done = subprocess.run(
        [*toolchain._npm(), "--version"],
        env={"PATH": toolchain.search_path()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.match(r"\d+\.\d+", done.stdout)


def test_the_makefile_has_the_same_cli() -> None:
    makefile = ROOT.joinpath("Makefile").read_text(encoding="utf-8")
    assert f"\nCDK_CLI := aws-cdk@{CDK_VERSION}\n" in makefile


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("print('a'); raise ValueError('the suffix is wrong')", "ValueError: the suffix is wrong"),
        ("import sys; print('first'); sys.exit('the reason')", "first\nthe reason"),
        (
            "import sys; print('✨  Synthesis time: 0.04s\\n')"
            "; print('App: start: Building Code\\nApp: success: Built Code\\nApp: deploying... [1/1]')"
            "; print('App: creating CloudFormation changeset...'); sys.exit('Template format error')",
            "Template format error",
        ),
    ],
)
def test_a_failed_command_shows_why(tmp_path: Path, script: str, shown: str) -> None:
    with pytest.raises(ToolError) as error:
        toolchain.run(
            [sys.executable, "-u", "-c", script],
            name="cdk synth",
            cwd=tmp_path,
            environment={},
            log=tmp_path / "log",
        )
    assert str(error.value) == f"cdk synth failed with exit code 1\n{shown}"


@pytest.mark.parametrize(
    "stack", ["def (", "raise ValueError('wrong')", "import json; json.loads('{')"]
)
def test_a_failed_app_shows_its_own_line(tmp_path: Path, stack: str) -> None:
    library = tmp_path / ".venv" / "lib" / "site-packages" / "library.py"
    library.parent.mkdir(parents=True)
    library.write_text("import stack", encoding="utf-8")
    tmp_path.joinpath("stack.py").write_text(f"\n{stack}", encoding="utf-8")
    app = f"import sys; sys.path += [{str(tmp_path)!r}, {str(library.parent)!r}]; import library"
    with pytest.raises(ToolError) as error:
        toolchain.run(
            [sys.executable, "-c", app],
            name="cdk synth",
            cwd=tmp_path,
            environment={},
            log=tmp_path / "log",
        )
    _, line, exception = str(error.value).splitlines()
    assert line.startswith(f'  File "{tmp_path / "stack.py"}", line 2')
    assert re.match(r"\w+(\.\w+)*Error: ", exception)
