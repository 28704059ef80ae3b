"""What every construct of the library is: a construct that knows its stack and its environment."""

from __future__ import annotations

from constructs import Construct

from iot_constructs._place import Place
from iot_constructs.environment import EnvironmentSuffix, suffix_below


class PipelineConstruct(Construct):
    """A construct that takes both from its scope, so that CDK is not asked again.

    Raises:
        ValueError: ``environment_suffix`` is not legal.
        RuntimeError: ``scope`` is in no stack (CDK's own message).
    """

    def __init__(
        self, scope: Construct, id: str, environment_suffix: str | EnvironmentSuffix | None
    ) -> None:
        super().__init__(scope, id)
        self._place = Place.of_construct_in(scope, self)
        self._suffix = suffix_below(scope, environment_suffix)
