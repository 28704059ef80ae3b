"""`make bump`, `make release-dry-run` and `make publish`, in repositories made for the purpose."""

from __future__ import annotations

import datetime
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools.release import RefusedError, package
from tools.release.__main__ import main
from tools.release.changelog import Changelog
from tools.release.repository import bump, name_and_version
from tools.release.versions import Level, bumped, next_version

DAY = datetime.date(2026, 2, 3)
OLD = "## [1.2.3] - 2026-01-01\n\n### Fixed\n\n- Old.\n"
ADDED = "### Added\n\n- A construct.\n"
# What .projenrc.py is to the release: a program that has the version and writes pyproject.toml.
PROJENRC = """
from pathlib import Path

PYPROJECT = {
    "name": "some-lib",
    "version": "1.2.3",
}
lines = ['[project]', *(f'{key} = "{value}"' for key, value in PYPROJECT.items())]
Path("pyproject.toml").write_text("\\n".join([*lines, '[tool.x]', 'version = "9"', '']))
"""


def changelog(unreleased: str, released: str = OLD) -> Changelog:
    return Changelog(f"# Changelog\n\n## [Unreleased]\n\n{unreleased}\n{released}")


def entry(heading: str, text: str = "Something.") -> str:
    return f"### {heading}\n\n- {text}\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, an entry under Unreleased and a released version 1.2.3."""
    root = tmp_path / "repository"
    root.mkdir()
    (root / ".projenrc.py").write_text(PROJENRC)
    (root / "pyproject.toml").write_text('name = "some-lib"\nversion = "1.2.3"\n')
    (root / ".gitignore").write_text("/dist/\n")
    (root / "CHANGELOG.md").write_text(changelog(ADDED).text)
    git(root, "init", "--quiet")
    commit(root)
    return root


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True)


def commit(root: Path) -> None:
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "A commit")


def contents(root: Path) -> dict[str, bytes]:
    """Every file, those of git included: a dry run leaves no trace there either."""
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("version", "level", "expected"),
    [
        ("1.2.3", Level.PATCH, "1.2.4"),
        ("1.2.3", Level.MINOR, "1.3.0"),
        ("1.2.3", Level.MAJOR, "2.0.0"),
        ("0.9.9", Level.MINOR, "0.10.0"),
        ("0.9.9", Level.MAJOR, "1.0.0"),
    ],
)
def test_a_bump_resets_the_numbers_behind(version: str, level: Level, expected: str) -> None:
    assert bumped(version, level) == expected


@pytest.mark.parametrize("version", ["1.2", "1.2.3rc1", "v1.2.3", ""])
def test_a_version_that_is_not_three_numbers_is_refused(version: str) -> None:
    with pytest.raises(RefusedError):
        bumped(version, Level.PATCH)


@pytest.mark.parametrize(
    ("headings", "from_one", "from_zero"),
    [
        (["Fixed"], "1.2.4", "0.2.4"),
        (["Security"], "1.2.4", "0.2.4"),
        (["Added"], "1.3.0", "0.3.0"),
        (["Changed"], "1.3.0", "0.3.0"),
        (["Deprecated"], "1.3.0", "0.3.0"),
        (["Removed"], "2.0.0", "0.3.0"),
        (["Added", "Removed", "Fixed"], "2.0.0", "0.3.0"),
        (["Fixed", "Added", "Security"], "1.3.0", "0.3.0"),
    ],
)
def test_the_headings_ask_for_a_version(
    headings: Sequence[str], from_one: str, from_zero: str
) -> None:
    found = changelog("\n".join(map(entry, headings)))
    assert next_version("1.2.3", found, None) == from_one
    assert next_version("0.2.3", found, None) == from_zero


@pytest.mark.parametrize("heading", ["Changed", "Fixed"])
@pytest.mark.parametrize("text", ["**Breaking:** x.", "Breaking: x.", "**BREAKING** x."])
def test_an_entry_that_says_it_breaks_is_breaking(heading: str, text: str) -> None:
    found = changelog(entry("Added") + entry(heading, text))
    assert next_version("1.2.3", found, None) == "2.0.0"
    assert next_version("0.2.3", found, None) == "0.3.0"


def test_an_entry_that_only_speaks_of_breaking_is_not() -> None:
    assert next_version("1.2.3", changelog(entry("Fixed", "No breaking.")), None) == "1.2.4"
    assert next_version("1.2.3", changelog(entry("Fixed", "Breakingly so.")), None) == "1.2.4"


def test_a_heading_without_entries_asks_for_nothing() -> None:
    assert next_version("1.2.3", changelog("### Removed\n\n" + entry("Fixed")), None) == "1.2.4"


def test_the_caller_may_name_more_but_not_less() -> None:
    found = changelog(ADDED)
    assert next_version("1.2.3", found, Level.MAJOR) == "2.0.0"
    assert next_version("0.2.3", found, Level.MAJOR) == "1.0.0"
    assert next_version("1.2.3", found, Level.MINOR) == "1.3.0"
    with pytest.raises(RefusedError) as error:
        next_version("1.2.3", found, Level.PATCH)
    assert "ask for a minor version" in str(error.value)


def test_the_first_release_has_the_version_that_stands_there() -> None:
    found = changelog(ADDED, released="")
    assert next_version("0.1.0", found, None) == "0.1.0"
    assert next_version("0.1.0", found, Level.MAJOR) == "1.0.0"


@pytest.mark.parametrize("unreleased", ["", "### Added\n", "Words.\n"])
def test_nothing_under_unreleased_is_refused(unreleased: str) -> None:
    with pytest.raises(RefusedError) as error:
        next_version("1.2.3", changelog(unreleased), Level.MAJOR)
    assert "nothing to release" in str(error.value)


@pytest.mark.parametrize("unreleased", [entry("Addde"), "- No heading.\n"])
def test_an_entry_under_no_known_heading_is_refused(unreleased: str) -> None:
    with pytest.raises(RefusedError) as error:
        next_version("1.2.3", changelog(unreleased), None)
    assert "the headings are Added" in str(error.value)


def test_the_entries_move_and_nothing_else_changes() -> None:
    links = "\n[1.2.3]: https://example.com/1.2.3\n"
    text = changelog(ADDED, OLD + links).moved("1.3.0", DAY)
    assert text == (
        f"# Changelog\n\n## [Unreleased]\n\n## [1.3.0] - 2026-02-03\n\n{ADDED}\n{OLD}{links}"
    )
    after = Changelog(text)
    assert after.released == ["1.3.0", "1.2.3"]
    assert not after.unreleased
    assert after.section("1.3.0") == f"## [1.3.0] - 2026-02-03\n\n{ADDED}".strip()
    assert after.section("1.2.3") == OLD.strip()


def test_the_first_section_moves_to_the_end_of_the_file() -> None:
    text = Changelog(f"# Changelog\n\n## [Unreleased]\n\n{ADDED}").moved("0.1.0", DAY)
    assert text == f"# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-02-03\n\n{ADDED}"


def test_a_version_is_released_once() -> None:
    with pytest.raises(RefusedError):
        changelog(ADDED).moved("1.2.3", DAY)


def test_a_changelog_without_unreleased_is_refused() -> None:
    with pytest.raises(RefusedError):
        Changelog(f"# Changelog\n\n{OLD}")


def test_bump_writes_the_version_and_moves_the_entries(repository: Path) -> None:
    assert bump(repository, None, DAY) == "1.3.0"
    assert '    "version": "1.3.0",\n' in (repository / ".projenrc.py").read_text()
    assert name_and_version(repository) == ("some-lib", "1.3.0")
    assert (repository / "CHANGELOG.md").read_text() == changelog(ADDED).moved("1.3.0", DAY)


def test_a_bump_that_does_not_reach_pyproject_is_refused(repository: Path) -> None:
    (repository / ".projenrc.py").write_text('X = {\n    "version": "1.2.3",\n}\n')
    with pytest.raises(RefusedError):
        bump(repository, None, DAY)


@pytest.mark.parametrize("command", ["bump", "dry-run"])
def test_a_refusal_changes_nothing(
    repository: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "CHANGELOG.md").write_text(changelog("").text)
    commit(repository)
    before = contents(repository)
    assert main([command], repository) == 1
    assert "nothing to release" in capsys.readouterr().err
    assert contents(repository) == before


@pytest.mark.parametrize("command", ["bump", "dry-run", "publish"])
@pytest.mark.parametrize("file", ["CHANGELOG.md", "new.txt"])
def test_a_work_tree_that_is_not_clean_is_refused(
    repository: Path, command: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (repository / file).open("a") as opened:
        opened.write("more\n")
    before = contents(repository)
    assert main([command], repository) == 1
    assert file in capsys.readouterr().err
    assert contents(repository) == before


class FakePublisher:
    """Stands for twine and publib, which take seconds and the network."""

    calls: list[tuple[str, list[str]]]

    def __init__(self, folder: Path) -> None:
        assert folder.is_dir()

    def check(self, paths: list[Path]) -> None:
        self.calls.append(("check", [path.name for path in paths]))

    def publib(self, dist: Path, *, dry_run: bool) -> None:
        self.calls.append((f"dry_run={dry_run}", sorted(path.name for path in dist.iterdir())))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """What is asked of twine and publib. The build leaves empty files."""
    FakePublisher.calls = []
    monkeypatch.setattr(package, "Publisher", FakePublisher)
    monkeypatch.setattr(package, "build", lambda root, dist: built(dist, name_and_version(root)[1]))
    return FakePublisher.calls


def built(dist: Path, version: str) -> list[str]:
    dist.mkdir(exist_ok=True)
    names = [f"some_lib-{version}-py3-none-any.whl", f"some_lib-{version}.tar.gz"]
    for name in names:
        (dist / name).touch()
    return names


def test_a_dry_run_shows_everything_and_changes_nothing(
    repository: Path, calls: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(repository)
    assert main(["dry-run"], repository) == 0
    assert contents(repository) == before
    files = ["some_lib-1.3.0-py3-none-any.whl", "some_lib-1.3.0.tar.gz"]
    assert calls == [("check", files), ("dry_run=True", files)]
    out = capsys.readouterr().out
    for shown in ("1.2.3 -> 1.3.0", ".projenrc.py, CHANGELOG.md, pyproject.toml", *files):
        assert shown in out
    assert f"{package.PUBLIB} publib-pypi dist" in out
    assert "## [1.3.0] - " in out
    assert "- A construct." in out
    assert "- Old." not in out


def test_a_dry_run_takes_the_level(
    repository: Path, calls: list[tuple[str, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dry-run", "major"], repository) == 0
    assert "1.2.3 -> 2.0.0" in capsys.readouterr().out
    assert len(calls) == 2


def test_publish_uploads_what_was_bumped_and_built(
    repository: Path, calls: list[tuple[str, list[str]]]
) -> None:
    assert main(["bump"], repository) == 0
    commit(repository)
    files = built(repository / "dist", "1.3.0")
    assert main(["publish"], repository) == 0
    assert calls == [("check", files), ("dry_run=False", files)]


@pytest.mark.parametrize("fault", ["not bumped", "entries since", "not built", "old files"])
def test_publish_refuses(repository: Path, calls: list[tuple[str, list[str]]], fault: str) -> None:
    if fault != "not bumped":
        assert main(["bump"], repository) == 0
    if fault == "entries since":
        path = repository / "CHANGELOG.md"
        path.write_text(path.read_text().replace("[Unreleased]\n", f"[Unreleased]\n\n{ADDED}"))
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "A commit")
    if fault != "not built":
        built(repository / "dist", "1.2.3" if fault == "not bumped" else "1.3.0")
    if fault == "old files":
        built(repository / "dist", "1.2.2")
    assert main(["publish"], repository) == 1
    assert calls == []


def test_a_dry_run_has_no_credentials_and_fetches_none(tmp_path: Path) -> None:
    publisher = object.__new__(package.Publisher)
    publisher._folder, publisher._venv = tmp_path, tmp_path / "venv"
    base = {
        **{"PATH": "/bin", "TWINE_PASSWORD": "secret", "PYPI_TRUSTED_PUBLISHER": "true"},
    }
    variables = publisher.environment(base, dry_run=True)
    assert variables["PUBLIB_DRYRUN"] == "true"
    assert "secret" not in variables.values()
    assert "PYPI_TRUSTED_PUBLISHER" not in variables
    assert variables["PATH"].split(os.pathsep) == [str(tmp_path / "venv" / "bin"), "/bin"]


def test_an_upload_is_no_dry_run_whatever_the_caller_has_set(tmp_path: Path) -> None:
    publisher = object.__new__(package.Publisher)
    publisher._folder, publisher._venv = tmp_path, tmp_path / "venv"
    variables = publisher.environment({"PATH": "", "PUBLIB_DRYRUN": "true"}, dry_run=False)
    assert "PUBLIB_DRYRUN" not in variables


def test_what_publishes_is_pinned() -> None:
    name, number = package.PUBLIB.split("@")
    assert name == "publib"
    assert number.replace(".", "").isdigit()
    pins = package.REQUIREMENTS.read_text().splitlines()
    for tool in ("twine==", "id==", "pypi-attestations=="):
        assert any(pin.startswith(tool) for pin in pins)
