"""`make bump`, `make release-check` and `make release-dry-run`, in a repository made for the purpose."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import release
from tools.release import HEADINGS, LEVELS, ReleaseError, changelog, main, next_version

OLD = "## [1.2.3] - 2026-01-01\n\n### Fixed\n\n- Old.\n\n[1.2.3]: https://example.com/1.2.3\n"
ADDED = "### Added\n\n- A construct.\n"
# Like the real one, it has the version and writes pyproject.toml.
PROJENRC = """
from pathlib import Path

VERSION = "1.2.3"
Path("pyproject.toml").write_text(VERSION)
"""


def entry(heading: str, text: str = "Something.") -> str:
    return f"### {heading}\n\n- {text}\n"


def write_changelog(root: Path, unreleased: str, released: str = OLD) -> None:
    text = f"# Changelog\n\n## [Unreleased]\n\n{unreleased}\n{released}"
    (root / "CHANGELOG.md").write_text(text)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, an entry under Unreleased and a released version 1.2.3."""
    root = tmp_path / "repository"
    root.mkdir()
    (root / ".projenrc.py").write_text(PROJENRC)
    (root / ".gitignore").write_text("/dist/\n")
    (root / "pyproject.toml").write_text("1.2.3")
    write_changelog(root, ADDED)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    commit(root)
    return root


def commit(root: Path) -> None:
    git = ["git", "-c", "user.name=Tester", "-c", "user.email=tester@example.com"]
    subprocess.run([*git, "add", "."], cwd=root, check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "A commit"], cwd=root, check=True)


def contents(root: Path) -> dict[str, bytes]:
    """Every file, those of git included: a dry run leaves no trace there either."""
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("headings", "from_one", "from_zero"),
    [
        *(([each], "1.2.4", "0.2.4") for each in ("Fixed", "Security")),
        *(([each], "1.3.0", "0.3.0") for each in ("Added", "Changed", "Deprecated")),
        (["Removed"], "2.0.0", "0.3.0"),
        (["Added", "Removed", "Fixed"], "2.0.0", "0.3.0"),
        (["Fixed", "Added"], "1.3.0", "0.3.0"),
    ],
)
def test_the_headings_ask_for_a_version(
    headings: Sequence[str], from_one: str, from_zero: str
) -> None:
    unreleased = "\n".join(map(entry, headings))
    assert next_version("1.2.3", unreleased, None, first=False) == from_one
    assert next_version("0.2.3", unreleased, None, first=False) == from_zero


@pytest.mark.parametrize("text", ["**Breaking:** x.", "Breaking: x.", "**BREAKING** x."])
def test_an_entry_that_starts_with_breaking_asks_for_a_major_version(text: str) -> None:
    unreleased = entry("Added") + entry("Fixed", text)
    assert next_version("1.2.3", unreleased, None, first=False) == "2.0.0"
    assert next_version("0.2.3", unreleased, None, first=False) == "0.3.0"


@pytest.mark.parametrize("text", ["No breaking.", "Breakingly so."])
def test_an_entry_that_only_mentions_it_does_not(text: str) -> None:
    assert next_version("1.2.3", entry("Fixed", text), None, first=False) == "1.2.4"


def test_a_heading_without_entries_asks_for_nothing() -> None:
    assert next_version("1.2.3", f"### Removed\n\n{entry('Fixed')}", None, first=False) == "1.2.4"


def test_the_caller_may_name_more_but_not_less() -> None:
    assert next_version("1.2.3", ADDED, "major", first=False) == "2.0.0"
    assert next_version("0.2.3", ADDED, "major", first=False) == "1.0.0"
    assert next_version("1.2.3", ADDED, "minor", first=False) == "1.3.0"
    with pytest.raises(ReleaseError) as error:
        next_version("1.2.3", ADDED, "patch", first=False)
    assert "ask for a minor version" in str(error.value)


def test_the_first_release_has_the_version_that_projenrc_has() -> None:
    assert next_version("0.1.0", ADDED, None, first=True) == "0.1.0"
    assert next_version("0.1.0", ADDED, "major", first=True) == "1.0.0"


@pytest.mark.parametrize("unreleased", ["", "### Added\n", entry("Addde"), "- No heading.\n"])
@pytest.mark.parametrize("level", [None, *LEVELS])
def test_entries_below_known_headings_are_needed(unreleased: str, level: str | None) -> None:
    with pytest.raises(ReleaseError) as error:
        next_version("1.2.3", unreleased, level, first=False)
    assert ", ".join(HEADINGS) in str(error.value)


def test_a_changelog_starts_with_unreleased() -> None:
    with pytest.raises(ReleaseError):
        changelog(f"# Changelog\n\n{OLD}")


def test_bump_writes_the_version_and_moves_the_entries(repository: Path) -> None:
    before = (repository / "CHANGELOG.md").read_text()
    assert main(["bump"], repository) == 0
    assert 'VERSION = "1.3.0"\n' in (repository / ".projenrc.py").read_text()
    assert (repository / "pyproject.toml").read_text() == "1.3.0"
    after = (repository / "CHANGELOG.md").read_text()
    sections = changelog(after)
    assert sections == {
        "Unreleased": "",
        "1.3.0": ADDED.strip(),
        "1.2.3": "### Fixed\n\n- Old.",
    }
    added = [line for line in after.splitlines() if line.startswith("## [1.3.0] - ")]
    assert after.replace(f"\n{added[0]}\n", "", 1) == before


def test_a_version_is_released_once(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_changelog(repository, ADDED, OLD.replace("1.2.3", "1.3.0"))
    commit(repository)
    assert main(["bump"], repository) == 1
    assert "already has a section 1.3.0" in capsys.readouterr().err


@pytest.mark.parametrize("step", ["bump", "dry-run"])
@pytest.mark.parametrize("reason", ["a changed file", "a new file", "no entries"])
def test_a_refusal_changes_nothing(
    repository: Path, step: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if reason == "no entries":
        write_changelog(repository, "")
        commit(repository)
    else:
        name = "CHANGELOG.md" if reason == "a changed file" else "new.txt"
        with (repository / name).open("a") as file:
            file.write("more\n")
    before = contents(repository)
    assert main([step], repository) == 1
    assert "no release: " in capsys.readouterr().err
    assert contents(repository) == before


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that are run. twine and uv, which take seconds and the network, do nothing."""
    run: list[str] = []

    def record(*command: str, cwd: Path = release.ROOT) -> None:
        run.append(" ".join(command))
        if command[0] == release.UV and command[1] == "build":
            build(cwd)
        elif command[0] == "git" or command[1] == ".projenrc.py":
            subprocess.run(command, cwd=cwd, check=True)

    monkeypatch.setattr(release, "_run", record)
    return run


def build(root: Path) -> None:
    """Make the files of `make build`, empty."""
    version = (root / "pyproject.toml").read_text()
    (root / "dist").mkdir(exist_ok=True)
    for end in ("-py3-none-any.whl", ".tar.gz"):
        (root / "dist" / f"iot_constructs-{version}{end}").touch()


def test_a_dry_run_goes_the_whole_way_and_changes_nothing(
    repository: Path, commands: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(repository)
    assert main(["dry-run", "major"], repository) == 0
    assert contents(repository) == before
    assert "1.2.3 -> 2.0.0" in capsys.readouterr().out
    [twine] = [each for each in commands if "twine check --strict" in each]
    assert twine.endswith("iot_constructs-2.0.0.tar.gz")
    steps = ("git clone", ".projenrc.py", "uv build", "twine", "pip install", "init my-pipeline")
    positions = [next(n for n, each in enumerate(commands) if step in each) for step in steps]
    assert positions == sorted(positions)
    assert "import MonitoredStream" in commands[-1]


@pytest.mark.parametrize(
    "fault", ["", "not bumped", "another version", "entries since", "not built", "old files"]
)
def test_check_accepts_what_was_bumped_and_built(
    repository: Path, commands: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if fault != "not bumped":
        assert main(["bump"], repository) == 0
    if fault == "another version":
        (repository / ".projenrc.py").write_text('VERSION = "1.4.0"\n')
        (repository / "pyproject.toml").write_text("1.4.0")
    if fault == "entries since":
        path = repository / "CHANGELOG.md"
        path.write_text(path.read_text().replace("[Unreleased]\n", f"[Unreleased]\n\n{ADDED}"))
    if fault != "not built":
        build(repository)
    if fault == "old files":
        (repository / "dist" / "iot_constructs-1.2.2.tar.gz").touch()
    commands.clear()
    assert main(["check"], repository) == int(bool(fault))
    assert bool(commands) == (not fault)
    assert ("no release: " in capsys.readouterr().err) == bool(fault)
