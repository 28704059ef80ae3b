"""From the entries under ``Unreleased`` to a package on PyPI: ``python -m tools.release``."""


class RefusedError(Exception):
    """Something that has to be put right before a release. The message says what and how."""
