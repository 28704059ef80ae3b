"""Builds the Lambda asset of the processor without Docker or network access.

Powertools and its dependencies are pure Python, so the installed files work on every architecture.
The asset excludes boto3, which the Lambda runtime includes.
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
# Two thirds of Powertools. Before you import one of these features, remove it from this list.
_EXCLUDED = tuple(
    f"aws_lambda_powertools/{feature}/"
    for feature in (
        "event_handler",
        "utilities/auth_alpha",
        "utilities/circuit_breaker",
        "utilities/data_masking",
        "utilities/feature_flags",
        "utilities/idempotency",
        "utilities/kafka",
        "utilities/parameters",
        "utilities/parser",
        "utilities/streaming",
        "utilities/validation",
    )
)


@lru_cache(maxsize=1)
def function_asset() -> Path:
    """Return a folder with the function's code. Its content is the same for every build.

    Raises:
        ValueError: a required package is not installed.
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
            f"{name} is not installed; run: pip install {' '.join(_PACKAGES)}"
        ) from None
    for file in files:
        if file.suffix != ".py" or ".." in file.parts or file.as_posix().startswith(_EXCLUDED):
            continue
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(file.locate()), target)
