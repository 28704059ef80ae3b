"""What a combination installs: the floors of pyproject.toml or the newest versions, and what the tests need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import metadata, requires
from pathlib import Path
from typing import Final, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent

Level = Literal["lowest", "newest"]
LEVELS: Final[tuple[Level, ...]] = ("lowest", "newest")
NAME: Final = "iot-constructs"
SHOWN: Final = ("aws-cdk-lib", "constructs", "jsii")
"""What a user's app shares with the library, and so what a combination is about."""

NOT_FOR_THE_SUITE: Final = frozenset(
    {"projen", "cdk-nag", "cfn-lint", "mkdocs-material", "mkdocstrings-python", "ruff"}
)
"""Development packages that only the repository's own tests need. The first two ask for a newer jsii than the floor."""


@dataclass(frozen=True)
class Wanted:
    """Requirements, and the constraints that they are resolved under."""

    requirements: tuple[str, ...]
    constraints: tuple[str, ...]


def wanted(level: Level) -> Wanted:
    """What to install for ``level``, as the installed metadata of pyproject.toml and constraints.txt have it."""
    stated = [Requirement(line) for line in requires(NAME) or []]
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return _wanted(level, stated, constraints.splitlines())


def _wanted(level: Level, stated: Iterable[Requirement], constraints: Iterable[str]) -> Wanted:
    runtime = [each for each in stated if each.marker is None or _is_extra(each, "ops")]
    tools = [
        each
        for each in stated
        if _is_extra(each, "dev") and canonicalize_name(each.name) not in NOT_FOR_THE_SUITE
    ]
    names = {canonicalize_name(each.name) for each in runtime}
    bounds = [f"{each.name}{_bound(each, level)}" for each in runtime]
    others = [each for each in tools if canonicalize_name(each.name) not in names]
    return Wanted(
        requirements=(*bounds, *(f"{each.name}{each.specifier}" for each in others)),
        constraints=tuple(line for line in constraints if _stays(line, names)),
    )


def _is_extra(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra})


def _bound(requirement: Requirement, level: Level) -> str:
    return f"=={floor_of(requirement)}" if level == "lowest" else str(requirement.specifier)


def floor_of(requirement: Requirement) -> str:
    """The lowest version that ``requirement`` allows.

    Raises:
        ValueError: it states none.
    """
    for specifier in requirement.specifier:
        if specifier.operator == ">=":
            return specifier.version
    raise ValueError(f"{requirement} has no lower bound: write one, as in {requirement.name}>=1.2")


def _stays(line: str, runtime: Iterable[str]) -> bool:
    """Whether a line of constraints.txt holds for every combination: what the CDK brings does not."""
    pinned = re.match(r"[\w.-]+(?===)", line)
    if pinned is None:
        return False
    name = canonicalize_name(pinned[0])
    return name not in runtime and not name.startswith("aws-cdk-")


def differences(level: Level, requirements: Sequence[str], installed: Mapping[str, str]) -> str:
    """What of ``requirements`` is not installed as asked; empty when all is."""
    wrong = []
    for line in requirements:
        requirement = Requirement(line)
        version = installed.get(canonicalize_name(requirement.name))
        if version is None or version not in requirement.specifier:
            wrong.append(f"{line} (installed: {version})")
    return f"not the {level} versions: {', '.join(wrong)}" if wrong else ""


def claimed_pythons() -> list[str]:
    """The Python versions that the package's classifiers name, oldest first."""
    classifiers = metadata(NAME).get_all("Classifier") or []
    found = (re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", it) for it in classifiers)
    return sorted((it[1] for it in found if it), key=minor)


def minor(python: str) -> int:
    """``11`` of ``3.11`` or ``3.11.7``."""
    return int(python.split(".")[1])


def environment_name(python: str, level: Level) -> Path:
    """Where the environment of a combination is, below the folder of them all."""
    return Path(f"python{python}-{level}")
