"""The processor's modules are here as they are in its own tests."""

from tests.processor import conftest as _of_processor  # noqa: F401  # its import does it
