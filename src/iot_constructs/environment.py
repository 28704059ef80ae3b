"""The environment suffix and the stack that carries it.

The suffix is what lets one account hold a second environment: every physical name ends in it (correction 1). It
also decides, unless told otherwise, whether an environment may be thrown away (correction 5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from constructs import Construct, IConstruct

from iot_constructs import _defaults as defaults
from iot_constructs._asked_once import Question
from iot_constructs._place import Place
from iot_constructs._taken_names import take_name

_LEGAL = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_EPHEMERAL = re.compile(rf"({'|'.join(defaults.EPHEMERAL_WORDS)})[0-9]*(-.*)?")


@dataclass(frozen=True)
class EnvironmentSuffix:
    """The name of an environment, as it ends every physical name: ``dev``, ``prod``, ``pr-123``.

    Words of ``a-z`` and ``0-9`` joined by single hyphens, at most 19 characters, so that the longest bucket name
    still fits in 63 characters in the longest region. Upper case is lowered.

    Args:
        value: the suffix, for example ``dev``.

    Raises:
        ValueError: the value is empty, too long or has other characters.
    """

    value: str

    def __post_init__(self) -> None:
        if not isinstance(self.value, str):
            raise ValueError(
                f"environment suffix {self.value!r} is not a string; pass for example 'dev'"
            )
        lowered = self.value.lower()
        # Lowering turns the Kelvin sign into an ordinary k, so ask before.
        if not self.value.isascii() or not _LEGAL.fullmatch(lowered):
            raise ValueError(
                f"environment suffix {self.value!r} is not made of words of a-z and 0-9 joined by single hyphens; "
                "pass for example 'dev', 'prod' or 'pr-123'"
            )
        if len(lowered) > defaults.ENVIRONMENT_SUFFIX_MAX_LENGTH:
            raise ValueError(
                f"environment suffix {self.value!r} has {len(lowered)} characters and at most "
                f"{defaults.ENVIRONMENT_SUFFIX_MAX_LENGTH} fit into a bucket name (FACTS 7); shorten it"
            )
        object.__setattr__(self, "value", lowered)

    def __str__(self) -> str:
        return self.value

    @property
    def ephemeral(self) -> bool:
        """Whether the name says that the environment is short-lived.

        True only for ``dev``, ``test``, ``qa``, ``ci``, ``pr``, ``tmp``, ``sandbox`` and these followed by digits or
        a dash (``qa7``, ``pr-123``). Every other name, known or not, is protected.
        """
        return _EPHEMERAL.fullmatch(self.value) is not None

    @classmethod
    def of(
        cls, scope: IConstruct, explicit: str | EnvironmentSuffix | None = None
    ) -> EnvironmentSuffix:
        """The suffix that holds for ``scope``.

        In this order: ``explicit``; the nearest SuffixedStack, Stage or App above that carries one (see
        :meth:`attach_to`); the context key ``environmentSuffix``; ``dev``.

        Args:
            scope: any construct.
            explicit: what an argument said; None asks the surroundings.

        Raises:
            ValueError: what was found is not a legal suffix.
        """
        if explicit is not None:
            return explicit if isinstance(explicit, EnvironmentSuffix) else cls(explicit)
        # Context is inherited from the nearest node up, so a suffix that a stack or stage carries is found before
        # the one given on the command line, which belongs to the app.
        found = scope.node.try_get_context(defaults.ENVIRONMENT_SUFFIX_CONTEXT_KEY)
        return cls(defaults.ENVIRONMENT_SUFFIX if found is None else found)

    def attach_to(self, scope: IConstruct) -> None:
        """Make a Stage, an App or a plain Stack carry this suffix for everything below it.

        Args:
            scope: the stage, app or stack, before anything is made in it.

        Raises:
            RuntimeError: ``scope`` already has children (CDK's own rule for context).
        """
        node = Place.of(scope).node if isinstance(scope, cdk.Stack) else scope.node
        node.set_context(defaults.ENVIRONMENT_SUFFIX_CONTEXT_KEY, self.value)
        _of.know(scope, self)


class SuffixedStack(cdk.Stack):
    """A stack of one environment: it carries the suffix, tags everything and always states its protection.

    * Termination protection is stated, never left to a default (correction 5): off where the suffix is known to be
      short-lived or ``ephemeral=True``, on otherwise.
    * Data is destroyed with an ephemeral stack, which clean teardown needs, and retained everywhere else.
    * Every resource is tagged ``Project``, ``Environment`` and ``ManagedBy``.

    Args:
        environment_suffix: the environment; None takes it from the surroundings (``EnvironmentSuffix.of``).
        ephemeral: whether the environment may be thrown away with its data; None decides from the suffix.
        project: value of the tag ``Project``; None takes the stack's id.
        termination_protection: whether the stack refuses to be deleted; None decides from ``ephemeral``.
        stack_name: None gives ``id-suffix`` (after the names of its stages), so that environments do not collide.
        env: account and region; None leaves both to the deployment.
        description: what CloudFormation shows of the stack.
        tags: of the stack and of every resource in it, in addition to the three above.
        synthesizer: as in ``aws_cdk.Stack``: how assets and roles of the deployment are found.
        cross_region_references: whether stacks of other regions may be referred to; None means they may not.
        permissions_boundary: of every role and user in the stack.
        notification_arns: topics that hear of the stack's events.
        analytics_reporting: whether the template names the CDK version that made it; None asks the app.
        property_injectors: for the constructs below, for example ``corrected_property_injectors()``.
        suppress_template_indentation: write the template without spaces; None asks the app.

    Raises:
        ValueError: the suffix is not legal.

    Example::

        import aws_cdk as cdk
        from iot_constructs import SuffixedStack

        app = cdk.App()
        stack = SuffixedStack(app, "Telemetry", environment_suffix="prod")
        assert stack.termination_protection and stack.stack_name == "Telemetry-prod"
    """

    def __init__(
        self,
        scope: Construct | None = None,
        id: str | None = None,
        *,
        environment_suffix: str | EnvironmentSuffix | None = None,
        ephemeral: bool | None = None,
        project: str | None = None,
        termination_protection: bool | None = None,
        stack_name: str | None = None,
        env: cdk.Environment | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        synthesizer: cdk.IStackSynthesizer | None = None,
        cross_region_references: bool | None = None,
        permissions_boundary: cdk.PermissionsBoundary | None = None,
        notification_arns: Sequence[str] | None = None,
        analytics_reporting: bool | None = None,
        property_injectors: Sequence[cdk.IPropertyInjector] | None = None,
        suppress_template_indentation: bool | None = None,
    ) -> None:
        scope = scope if scope is not None else cdk.App()
        id = id if id is not None else "Pipeline"
        suffix = EnvironmentSuffix.of(scope, environment_suffix)
        is_ephemeral = ephemeral if ephemeral is not None else suffix.ephemeral
        name = stack_name if stack_name is not None else _stack_name(scope, id, suffix)
        own_tags = {
            "Project": project if project is not None else id,
            "Environment": suffix.value,
            "ManagedBy": defaults.MANAGED_BY,
        }
        super().__init__(
            scope,
            id,
            termination_protection=termination_protection
            if termination_protection is not None
            else not is_ephemeral,
            stack_name=name,
            env=env,
            description=description,
            # With the feature flag explicitStackTags the stack itself gets no others than these.
            tags={**(tags if tags is not None else {}), **own_tags},
            synthesizer=synthesizer,
            cross_region_references=cross_region_references,
            permissions_boundary=permissions_boundary,
            notification_arns=notification_arns,
            analytics_reporting=analytics_reporting,
            property_injectors=property_injectors,
            suppress_template_indentation=suppress_template_indentation,
        )
        self._environment_suffix = suffix
        self._ephemeral = is_ephemeral
        suffix.attach_to(self)
        take_name(self, "stack", name)
        all_below = cdk.Tags.of(self)
        for key, value in own_tags.items():
            all_below.add(key, value)

    @property
    def environment_suffix(self) -> EnvironmentSuffix:
        """The environment this stack belongs to."""
        return self._environment_suffix

    @property
    def ephemeral(self) -> bool:
        """Whether this environment may be thrown away with its data."""
        return self._ephemeral

    @property
    def removal_policy(self) -> cdk.RemovalPolicy:
        """DESTROY in an ephemeral stack, RETAIN in any other: give it to the resources of your own."""
        return cdk.RemovalPolicy.DESTROY if self._ephemeral else cdk.RemovalPolicy.RETAIN


def suffix_below(scope: IConstruct, explicit: str | EnvironmentSuffix | None) -> EnvironmentSuffix:
    """``EnvironmentSuffix.of`` a construct that was made in ``scope``, which is asked once for all of them.

    With the first construct below it a scope's context is settled, by CDK's own rule, and so is that of all above.
    """
    return _of(scope) if explicit is None else EnvironmentSuffix.of(scope, explicit)


_of: Question[IConstruct, EnvironmentSuffix] = Question(EnvironmentSuffix.of)


def data_removal_policy(scope: Construct, requested: cdk.RemovalPolicy | None) -> cdk.RemovalPolicy:
    """What happens to data when its stack goes: ``requested`` where that is safe, else what the stack says.

    Raises:
        ValueError: data would be destroyed with a stack that nobody declared ephemeral.
    """
    ephemeral = _in_ephemeral_stack(scope)
    if requested is None:
        return cdk.RemovalPolicy.DESTROY if ephemeral else cdk.RemovalPolicy.RETAIN
    if requested == cdk.RemovalPolicy.DESTROY and not ephemeral:
        raise ValueError(
            f"removal_policy={requested} for {scope.node.path!r}: its data would go with a stack that is not "
            "ephemeral; use SuffixedStack(..., ephemeral=True), or leave removal_policy out to retain the data"
        )
    if requested == cdk.RemovalPolicy.SNAPSHOT:
        raise ValueError(
            f"removal_policy={requested}: none of these resources has snapshots; use RETAIN"
        )
    return requested


def _in_ephemeral_stack(scope: Construct) -> bool:
    """Whether ``scope`` is in an ephemeral SuffixedStack, also through nested stacks. A plain stack never is."""
    stack: cdk.Stack | None = Place.of(scope).stack
    while stack is not None:
        if isinstance(stack, SuffixedStack):
            return stack.ephemeral
        stack = stack.nested_stack_parent
    return False


_name_of: Question[cdk.Stage, str] = Question(lambda stage: stage.stage_name)


def _stack_name(scope: Construct, id: str, suffix: EnvironmentSuffix) -> str:
    """``stage-id-suffix``; CDK's own default has no suffix, so two environments of one app would be one stack."""
    # Stage.of() a stage is the stage above it.
    stage = scope if isinstance(scope, cdk.Stage) else cdk.Stage.of(scope)
    stage_name = _name_of(stage) if stage is not None else ""
    words = [word for word in (stage_name, id) if word]
    if not id.lower().endswith(f"-{suffix.value}"):
        words.append(suffix.value)
    return re.sub(r"[^A-Za-z0-9-]", "-", "-".join(words))
