"""Environments: the suffix and the prefix of every physical name, and the stack that carries them.

The suffix lets one account hold several environments. It also decides, unless you do, whether an environment is
ephemeral. The prefix lets one environment hold several pipelines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import aws_cdk as cdk
from constructs import Construct, IConstruct

from iot_constructs import _defaults as defaults
from iot_constructs import _naming as naming
from iot_constructs._naming import Names
from iot_constructs._stack import StackContext
from iot_constructs._validation import validated
from iot_constructs._warnings import DATA_DESTROYED_WITH_STACK, warn
from iot_constructs._words import SUFFIX_KEYWORD, name_part

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from iot_constructs._props import StackProps

_EPHEMERAL: Final = re.compile(rf"({'|'.join(defaults.EPHEMERAL_WORDS)})[0-9]*(-.*)?")


@dataclass(frozen=True)
class _NamePart:
    """A part of every physical name, which constructs inherit from the scopes above them."""

    value: str

    _keyword: ClassVar[str]
    _context_key: ClassVar[str]
    _default: ClassVar[str]
    _longest: ClassVar[int]

    def __post_init__(self) -> None:
        value = name_part(self._keyword, self.value, default=self._default, longest=self._longest)
        object.__setattr__(self, "value", value)

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of(cls, scope: IConstruct, explicit: str | Self | None = None) -> Self:
        """The value of ``scope``.

        In this order: ``explicit``; the nearest stack, stage, app or other construct above that carries one (see
        :meth:`attach_to`); the context key on the command line; the default.

        Args:
            scope: any construct.
            explicit: the value of an argument, or None.

        Raises:
            ValueError: the value is not valid.
        """
        if isinstance(explicit, cls):
            return explicit
        if explicit is not None:
            return cls(explicit)  # type: ignore[arg-type]  # mypy does not narrow Self
        # CDK inherits context from the nearest node above, so what a stack or stage carries comes before what the
        # command line gives, which belongs to the app.
        found = scope.node.try_get_context(cls._context_key)
        return cls(found if found is not None else cls._default)

    def attach_to(self, scope: IConstruct) -> None:
        """Set this value for everything below a stack, stage, app, or other construct.

        Args:
            scope: the construct, before anything is created in it.

        Raises:
            RuntimeError: ``scope`` has children already (a rule of CDK for context).
        """
        scope.node.set_context(self._context_key, self.value)


@dataclass(frozen=True)
class EnvironmentSuffix(_NamePart):
    """The name of an environment, which every physical name ends in: ``dev``, ``prod``, ``pr-123``.

    By default ``dev``; on the command line ``cdk deploy -c environmentSuffix=prod``.

    Args:
        value: words of ``a-z`` and ``0-9`` joined by single hyphens, at most 19 characters, so that the longest
            bucket name fits into 63. Upper case is lowered.

    Raises:
        ValueError: the value is empty, too long, or has other characters.
    """

    _keyword = SUFFIX_KEYWORD
    _context_key = defaults.ENVIRONMENT_SUFFIX_CONTEXT_KEY
    _default = defaults.ENVIRONMENT_SUFFIX
    _longest = defaults.ENVIRONMENT_SUFFIX_MAX_LENGTH

    @property
    def ephemeral(self) -> bool:
        """Whether the environment is short-lived by its name.

        True only for ``dev``, ``test``, ``qa``, ``ci``, ``pr``, ``tmp``, ``sandbox``, also with digits or a dash
        behind (``qa7``, ``pr-123``). Every other environment is protected.
        """
        return _EPHEMERAL.fullmatch(self.value) is not None


@dataclass(frozen=True)
class NamePrefix(_NamePart):
    """The name of a pipeline, which every default name begins with.

    By default ``iot``; on the command line ``cdk deploy -c namePrefix=north``. Two pipelines fit into one stack with
    different prefixes::

        from constructs import Construct
        from iot_constructs import MonitoredStream, NamePrefix

        for site in ("north", "south"):
            scope = Construct(stack, site)
            NamePrefix(site).attach_to(scope)
            MonitoredStream(scope, "Stream")  # north-sensor-data-stream-dev, south-sensor-data-stream-dev

    Args:
        value: words of ``a-z`` and ``0-9`` joined by single hyphens, a letter first, at most 20 characters. A long
            prefix leaves a bucket less room for the suffix. Upper case is lowered.

    Raises:
        ValueError: the value is empty, too long, or has other characters.
    """

    _keyword = "name_prefix"
    _context_key = defaults.NAME_PREFIX_CONTEXT_KEY
    _default = defaults.NAME_PREFIX
    _longest = defaults.NAME_PREFIX_MAX_LENGTH

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.value[0].isalpha():  # an IoT rule or a Glue database
            raise ValueError(
                f"name_prefix={self.value!r}: pass a letter first, for example {self._default!r}"
            )


class SuffixedStack(cdk.Stack):
    """A stack of one environment: carries the suffix, tags every resource, and states its termination protection.

    * Termination protection is off for an ephemeral environment and on for every other one.
    * Data is destroyed with an ephemeral stack and retained otherwise, except by the rollback of the deployment that
      creates it (:attr:`removal_policy`).
    * Every resource has the tags ``Project``, ``Environment`` and ``ManagedBy``.

    Takes every property of :class:`aws_cdk.Stack`.

    Args:
        environment_suffix: the environment; by default that of the scope (:meth:`EnvironmentSuffix.of`).
        name_prefix: the first word of all default names; by default that of the scope, or ``iot``.
        ephemeral: whether the environment may be deleted with its data; by default decided by the suffix.
        project: the value of the tag ``Project``; by default the id of the stack.
        **props: of ``aws_cdk.Stack``. ``termination_protection`` overrides the above; ``stack_name`` is by default
            ``id-suffix`` (behind the names of its stages), so that environments do not collide; ``tags`` are added to
            the three above.

    Raises:
        ValueError: the suffix or the prefix is not valid.

    Example::

        import aws_cdk as cdk
        from iot_constructs import SuffixedStack

        app = cdk.App()
        stack = SuffixedStack(app, "Telemetry", environment_suffix="prod")
        assert stack.termination_protection and stack.stack_name == "Telemetry-prod"
    """

    @validated(cdk.Stack)
    def __init__(
        self,
        scope: Construct | None = None,
        id: str | None = None,
        *,
        environment_suffix: str | EnvironmentSuffix | None = None,
        name_prefix: str | NamePrefix | None = None,
        ephemeral: bool | None = None,
        project: str | None = None,
        **props: Unpack[StackProps],
    ) -> None:
        scope = scope if scope is not None else cdk.App()
        id = id if id is not None else "Pipeline"
        suffix = EnvironmentSuffix.of(scope, environment_suffix)
        prefix = NamePrefix.of(scope, name_prefix)
        is_ephemeral = ephemeral if ephemeral is not None else suffix.ephemeral
        own_tags = {
            "Project": project if project is not None else id,
            "Environment": suffix.value,
            "ManagedBy": defaults.MANAGED_BY,
        }
        settings: dict[str, Any] = {
            "termination_protection": not is_ephemeral,
            "stack_name": _stack_name(scope, id, suffix),
            **props,
            # With the feature flag explicitStackTags the stack itself gets only these.
            "tags": {**(props.get("tags") or {}), **own_tags},
        }
        super().__init__(scope, id, **settings)
        self._environment_suffix = suffix
        self._name_prefix = prefix
        self._ephemeral = is_ephemeral
        suffix.attach_to(self)
        prefix.attach_to(self)
        naming.reserve_name(self, "", naming.STACK, settings["stack_name"])
        all_below = cdk.Tags.of(self)
        for key, value in own_tags.items():
            all_below.add(key, value)

    @property
    def environment_suffix(self) -> EnvironmentSuffix:
        """The environment of this stack."""
        return self._environment_suffix

    @property
    def name_prefix(self) -> NamePrefix:
        """The first word of the default names in this stack."""
        return self._name_prefix

    @property
    def ephemeral(self) -> bool:
        """Whether this environment may be deleted with its data."""
        return self._ephemeral

    @property
    def removal_policy(self) -> cdk.RemovalPolicy:
        """DESTROY in an ephemeral stack, RETAIN_ON_UPDATE_OR_DELETE in any other: for your resources.

        Use RETAIN for a resource with deletion protection, which a rollback cannot delete.
        """
        return _default_removal_policy(self._ephemeral)


def names_for(
    scope: Construct,
    id: str,
    suffix: str | EnvironmentSuffix | None,
    prefix: str | NamePrefix | None,
) -> Names:
    """What creates the physical names of the construct ``id`` in ``scope``."""
    return Names(scope, id, NamePrefix.of(scope, prefix), EnvironmentSuffix.of(scope, suffix))


def data_removal_policy(
    scope: Construct, id: str, requested: cdk.RemovalPolicy | None
) -> cdk.RemovalPolicy:
    """The removal policy of data: ``requested``, or that of the stack. A plain stack counts as protected.

    Raises:
        ValueError: SNAPSHOT, which these resources do not support.
    """
    ephemeral = in_ephemeral_stack(scope)
    if requested is None:
        return _default_removal_policy(ephemeral)
    if requested == cdk.RemovalPolicy.SNAPSHOT:
        raise ValueError(
            "removal_policy=RemovalPolicy.SNAPSHOT: this resource has no snapshots; pass RemovalPolicy.RETAIN"
        )
    if requested == cdk.RemovalPolicy.DESTROY and not ephemeral:
        warn(
            scope,
            DATA_DESTROYED_WITH_STACK,
            f"the data of {id!r} is deleted with its stack, which is not ephemeral; remove removal_policy=DESTROY, or "
            "pass ephemeral=True to the SuffixedStack",
        )
    return requested


def _default_removal_policy(ephemeral: bool) -> cdk.RemovalPolicy:
    """DESTROY, or RETAIN_ON_UPDATE_OR_DELETE: ``DeletionPolicy: RetainExceptOnCreate``.

    The rollback of the deployment that creates the resource deletes it; every other operation retains it
    (AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html). With RETAIN, a rolled back first
    deployment leaves resources with fixed names, and the next one fails because they exist.
    """
    if ephemeral:
        return cdk.RemovalPolicy.DESTROY
    return cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE


def in_ephemeral_stack(scope: Construct) -> bool:
    """Whether ``scope`` is in an ephemeral SuffixedStack, also through nested stacks. A plain stack is not one."""
    stack: cdk.Stack | None = StackContext.of(scope).stack
    while stack is not None:
        if isinstance(stack, SuffixedStack):
            return stack.ephemeral
        stack = stack.nested_stack_parent
    return False


def _stack_name(scope: Construct, id: str, suffix: EnvironmentSuffix) -> str:
    """``stage-id-suffix``; CDK's own default has no suffix, so two environments of one app would be one stack."""
    # Stage.of() a stage is the stage above it.
    stage = scope if isinstance(scope, cdk.Stage) else cdk.Stage.of(scope)
    words = [word for word in (stage.stage_name if stage is not None else "", id) if word]
    if not id.lower().endswith(f"-{suffix.value}"):
        words.append(suffix.value)
    return re.sub(r"[^A-Za-z0-9-]", "-", "-".join(words))
