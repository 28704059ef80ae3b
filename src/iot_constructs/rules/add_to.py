"""One line that runs every rule on an app."""

from __future__ import annotations

from weakref import WeakSet

import aws_cdk as cdk
from constructs import IConstruct

from iot_constructs.environment import EnvironmentSuffix
from iot_constructs.rules.engine_plugin import shared_engine
from iot_constructs.rules.findings_plugin import FindingsPlugin
from iot_constructs.rules.guard_rules import guard_rules

_CHECKED: WeakSet[IConstruct] = WeakSet()


class CorrectedDefaults:
    """The rules of this library for any CDK app, whatever its stacks are made of.

    All rules, what is compliant with each, why, and the fix are in RULES.md and in ``RULES``.

    Example::

        import aws_cdk as cdk
        from iot_constructs.rules import CorrectedDefaults

        app = cdk.App()
        CorrectedDefaults.add_to(app, suffix="dev")
        cdk.Stack(app, "Telemetry-dev", termination_protection=True)
        app.synth()
    """

    @staticmethod
    def add_to(
        app: cdk.App,
        *,
        suffix: str | EnvironmentSuffix | None = None,
        strict: bool = True,
        engine: bool = True,
    ) -> None:
        """Check every template of ``app``, those of its stages and nested stacks included, when it is synthesized.

        A finding that is meant to be is acknowledged, for one construct or for everything below it, as any finding
        of CDK's::

            Validations.of(event_source).acknowledge(
                Acknowledgment(
                    id="Corrected-Defaults::IOT_13_TRIM_HORIZON", reason="starts with the next record"
                )
            )

        CDK allows an app one ``CloudFormationValidatePlugin``. If the app registers its own already, give that one
        the Guard rules and leave the engine out here; what they find is then reported under CDK's name, as
        ``CloudFormation-Validate::IOT_13_TRIM_HORIZON``::

            Validations.of(app).add_plugins(
                CloudFormationValidatePlugin(guard_rules=[CorrectedDefaults.guard_rules(), *yours])
            )
            CorrectedDefaults.add_to(app, suffix="dev", engine=False)

        Args:
            app: the app. Not a stage: CDK's engine belongs to the app.
            suffix: the environment that physical names have to carry; None asks each stack for its own
                (``EnvironmentSuffix.of``). A SuffixedStack is always held to its own.
            strict: True: a finding is an error and fails the synth. False: it is a warning.
            engine: False leaves out the rules that are written in Guard.

        Raises:
            ValueError: ``app`` is not the app, has these rules already, or the suffix is not legal.
        """
        if app.node.scope is not None:
            raise ValueError(
                f"{app.node.path!r} is not the app; CDK validates templates for the app as a whole: "
                "pass the cdk.App"
            )
        if app in _CHECKED:
            raise ValueError(
                "this app has the corrected defaults already; call CorrectedDefaults.add_to(app) once"
            )
        explicit = None if suffix is None else str(EnvironmentSuffix.of(app, suffix))
        validations = cdk.Validations.of(app)
        plugin = shared_engine() if engine else None
        if plugin is not None:
            validations.add_plugins(plugin)
        validations.add_plugins(FindingsPlugin(plugin, explicit, strict))
        _CHECKED.add(app)

    @staticmethod
    def guard_rules() -> cdk.ValidationRuleSource:
        """The Guard rules, for a ``CloudFormationValidatePlugin`` of your own."""
        return guard_rules()
