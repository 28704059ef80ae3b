"""``iot-constructs init``: writes a CDK project with the user's name.

The projects are ``examples/iot_pipeline``, ``examples/one_construct`` and ``examples/existing_app`` of the repository,
which the wheel has in ``iot_constructs/cli/projects``. Needs neither CDK nor Node.js nor boto3.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from iot_constructs.cli.exit_codes import DONE, FAILED, ExitCodes, print_error
from iot_constructs.cli.options import path

HELP = "write a CDK project, with tests"
DESCRIPTION = """\
Writes a CDK app in Python with one stack, its tests, and a README into a new or an empty folder. The last part of DIR
is the name of the project: my-pipeline gives the class MyPipelineStack and the stack MyPipeline-dev."""
EXIT_CODES = ExitCodes(done="written", failed="the folder cannot be written")
EPILOG = "Never overwrites a file."

_PROJECTS = {"pipeline": "iot_pipeline", "one": "one_construct", "existing": "existing_app"}
_PACKAGED = Path(__file__).parent / "projects"
_CHECKOUT = Path(__file__).parents[3] / "examples"
_MESSAGES = "messages.jsonl"
"""The messages of a project whose function does not read the generated ones."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_. ]+[A-Za-z0-9]+)*")
_LONGEST_NAME = 100
"""The name of a CloudFormation stack has at most 128 characters, of which a suffix takes up to 20
(AWSCloudFormation/latest/APIReference/API_CreateStack.html)."""


class Name(NamedTuple):
    """The name of a project in its three forms."""

    words: str
    """``my-pipeline``"""
    id: str
    """``MyPipeline``"""

    @classmethod
    def of(cls, text: str) -> Name:
        """The name from a folder's name.

        Raises:
            ValueError: it gives no Python class and no CloudFormation stack.
        """
        if not _NAME.fullmatch(text) or len(text) > _LONGEST_NAME:
            raise ValueError(
                f"{text!r} is not a valid stack name: use a-z, 0-9 and hyphens, a letter first, at most "
                f"{_LONGEST_NAME} characters, for example: iot-constructs init my-pipeline"
            )
        words = re.findall(r"[A-Za-z0-9]+", text)
        return cls("-".join(words).lower(), "".join(word[0].upper() + word[1:] for word in words))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("directory", type=path, metavar="DIR", help="a new or an empty folder")
    parser.add_argument(
        "--construct",
        choices=_PROJECTS,
        default="pipeline",
        metavar="KIND",
        help="pipeline: the whole pipeline; one: a stream, a table, and the processor between them; existing: a "
        "processor and alarms for a stream and a table in plain CDK; default: pipeline",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit code."""
    directory: Path = arguments.directory
    try:
        name = Name.of(directory.resolve().name)
        project = render(arguments.construct, name)
        _check_target(directory, name)
        _write(directory, project)
    except ValueError as error:
        return _fail(str(error))
    except OSError as error:
        reason = error.strerror or str(error)
        return _fail(
            f"cannot write to {str(directory)!r}: {reason}; name a folder that you may write to, for example: "
            "iot-constructs init ~/my-pipeline"
        )
    _print_next_steps(directory, project)
    return DONE


def render(construct: str, name: Name) -> dict[str, str]:
    """The files of a project by their paths below its folder.

    Raises:
        ValueError: a class of the project has the name already.
    """
    folder = (_PACKAGED if _PACKAGED.is_dir() else _CHECKOUT) / _PROJECTS[construct]
    template = Name.of(folder.name)
    texts = _read(folder)
    taken = f"{name.id}Stack"
    if name != template and any(re.search(rf"\b{taken}\b", text) for text in texts.values()):
        raise ValueError(
            f"the class {taken} has the name of another one; choose a different name, for example: "
            f"iot-constructs init my-{name.words}"
        )
    ids = {template.id: name.id, f"{template.id}Stack": taken}

    def renamed(text: str) -> str:
        text = re.sub(rf"\b({'|'.join(ids)})\b", lambda found: ids[found[0]], text)
        # Not in a physical name such as iot-pipeline-dlq-dev.
        return re.sub(rf"(?<![\w-]){template.words}(?![\w-])", name.words, text)

    return {path: renamed(text) for path, text in texts.items()}


def _read(folder: Path) -> dict[str, str]:
    """The files of a project, without what its commands write."""
    lines = (folder / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = [line for line in lines if line and not line.startswith("#")]
    files = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        file.as_posix(): (folder / file).read_text(encoding="utf-8")
        for file in files
        if not any(fnmatch(part, pattern) for part in file.parts for pattern in ignored)
    }


def _check_target(directory: Path, name: Name) -> None:
    """Raise ValueError if there is something at ``directory``, or nothing above it."""
    example = f"for example: iot-constructs init {name.words}-2"
    if directory.is_dir():
        if any(directory.iterdir()):
            raise ValueError(f"{str(directory)!r} is not empty; name a new folder, {example}")
    elif directory.exists():
        raise ValueError(f"{str(directory)!r} is a file; name a new folder, {example}")
    elif not directory.parent.is_dir():
        parent = shlex.quote(str(directory.parent))
        raise ValueError(f"the folder {parent} does not exist; create it: mkdir -p {parent}")


def _write(directory: Path, project: Mapping[str, str]) -> None:
    """Write all files or none."""
    created = not directory.is_dir()
    if created:
        directory.mkdir()
    moved: list[Path] = []
    try:
        with TemporaryDirectory(prefix=".init-", dir=directory) as name:
            staging = Path(name)
            for path, text in project.items():
                (staging / path).parent.mkdir(parents=True, exist_ok=True)
                (staging / path).write_text(text, encoding="utf-8", newline="\n")
            for entry in staging.iterdir():
                moved.append(entry.rename(directory / entry.name))
    except BaseException:
        for entry in moved:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if created:
            directory.rmdir()
        raise


def _print_next_steps(directory: Path, project: Mapping[str, str]) -> None:
    print(f"Created {directory}: {', '.join(project)}")
    print("Next:")
    if directory.resolve() != Path.cwd():
        print(f"  cd {shlex.quote(str(directory))}")
    payload = f" --payload {_MESSAGES}" if _MESSAGES in project else ""
    print(f"  iot-constructs local{payload}  # run it on this machine; nothing reaches AWS")
    print("  pip install -r requirements-dev.txt && python -m pytest")
    print("  cdk deploy  # to AWS; README.md has more")


def _fail(message: str) -> int:
    print_error(f"error: {message}")
    return FAILED
