"""The apps that are timed: each is a program that writes its templates to ``$CDK_OUTDIR``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from bench.peers.environments import process_environment, python_of

ROOT = Path(__file__).resolve().parents[2]
_HERE = Path(__file__).resolve().parent
_PEERS = ROOT / "bench" / "peers"


@dataclass(frozen=True)
class App:
    """A program, and the Python that runs it."""

    name: str
    python: Path
    program: tuple[str, ...]

    def command(self) -> list[str]:
        """The command line."""
        return [str(self.python), *self.program]

    def environment(self, folder: Path) -> dict[str, str]:
        """The variables of a process that writes to ``folder``."""
        # Not PYTHONDONTWRITEBYTECODE, with which every process compiles aws-cdk-lib's modules again, for two seconds.
        return process_environment(CDK_OUTDIR=str(folder))


def example() -> App:
    """Our example, as `python app.py` runs it."""
    return App(
        "example", Path(sys.executable), (str(ROOT / "examples" / "iot_pipeline" / "app.py"),)
    )


def one_bucket() -> App:
    """The floor: a bucket, CDK's engine and its validator."""
    return App("one_bucket", Path(sys.executable), (str(_HERE / "one_bucket.py"),))


def peer(name: str) -> App:
    """One of bench/peers, in its own environment."""
    return App(name, python_of(name), (str(_PEERS / f"{name}.py"),))


def many(count: int) -> App:
    """``count`` pipelines in one app, a stack each."""
    program = (str(_HERE / "many_pipelines.py"), str(count))
    return App(f"pipelines_{count}", Path(sys.executable), program)
