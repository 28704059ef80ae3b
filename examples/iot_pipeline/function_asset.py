"""The processor's deployment package: its own modules and Powertools, put together without Docker or network.

Powertools and what it imports are plain Python, so the files that pip installed here are the files that Lambda
needs, whatever the architecture. boto3 is left out: the Lambda runtime has it.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_SOURCE = Path(__file__).resolve().parent / "processor"
_PACKAGES = ("aws-lambda-powertools", "jmespath", "typing-extensions")
# Two thirds of Powertools, which this function does not import: to use one of them, take it out of here.
_LEFT_OUT = tuple(
    f"aws_lambda_powertools/{feature}/"
    for feature in (
        "event_handler",
        *(
            f"utilities/{name}"
            for name in (
                "auth_alpha",
                "circuit_breaker",
                "data_masking",
                "feature_flags",
                "idempotency",
                "kafka",
                "parameters",
                "parser",
                "streaming",
                "validation",
            )
        ),
    )
)


@lru_cache(maxsize=1)
def function_asset() -> Path:
    """A folder with the code of the function: the same files, byte for byte, each time.

    Raises:
        ValueError: a package that belongs into it is not installed.
    """
    folder = Path(tempfile.mkdtemp(prefix="processor-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(
        _SOURCE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    for package in _PACKAGES:
        _copy_package(package, folder)
    return folder


def _copy_package(name: str, folder: Path) -> None:
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        raise ValueError(
            f"{name} is not installed; type: pip install {' '.join(_PACKAGES)}"
        ) from None
    for file in files:
        if file.suffix != ".py" or ".." in file.parts:
            continue
        if file.as_posix().startswith(_LEFT_OUT):
            continue
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), target)
