"""Validates arguments before they reach CDK.

jsii passes any object where an interface such as ``kms.IKey`` is expected and drops it from the template, and most
other mistakes end in a stack trace of Node. :func:`validated` checks each keyword argument of a constructor against
its annotation (the construct's and those of the L2 that it extends) and reports a mistake by keyword, value and remedy.

Tokens pass every check: CloudFormation resolves them at deployment.
"""

from __future__ import annotations

import collections.abc
import difflib
import functools
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, ParamSpec, TypeVar

import aws_cdk as cdk
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs._layout import validate_layout

P = ParamSpec("P")
R = TypeVar("R")

# Number tokens are encoded as huge negative floats and string tokens hold this marker. Testing for these first
# keeps ordinary values off the wire to Node.
_NUMBER_TOKEN_CEILING = -1e100
_STRING_TOKEN_MARKER = "${Token["

_POSITIONAL: Final = ("scope", "id")
_LONGEST_VALUE: Final = 80  # characters of a value in a message
_CDK_REMEDY: Final = "see the AWS CDK API reference for the values that it accepts"


def is_token(value: object) -> bool:
    """Whether ``value`` stands for something that CloudFormation resolves at deployment."""
    if isinstance(value, str):
        return _STRING_TOKEN_MARKER in value
    if isinstance(value, (int, float)):
        if not math.isfinite(value):  # not a token, and jsii's Node process crashes on it
            return False
        return value < _NUMBER_TOKEN_CEILING and bool(cdk.Token.is_unresolved(value))
    return bool(cdk.Token.is_unresolved(value))


@functools.cache
def seconds(duration: cdk.Duration) -> float | None:
    """The length of a duration, or None if it is a token."""
    return None if duration.is_unresolved() else duration.to_milliseconds() / 1000


def validate_mutually_exclusive(name: str, others: Mapping[str, object], remedy: str) -> None:
    """Raise ValueError if one of ``others`` is given although ``name`` excludes it."""
    given = [f"{other}={value!r}" for other, value in others.items() if value is not None]
    if given:
        raise ValueError(f"{name} excludes {', '.join(given)}: {remedy}")


def validate_cannot_disable(name: str, value: object, reason: str) -> None:
    """Raise ValueError if an enforced setting is turned off."""
    if value is False:
        raise ValueError(f"{name}=False: {reason}; remove {name}")


def validated(
    *l2s: type, rename: Mapping[str, str] | None = None, extends: type | None = None
) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Decorate a constructor so that its keyword arguments are validated before it runs.

    Args:
        l2s: the CDK constructs that take the constructor's ``**props``; the first one that has a keyword defines it.
        rename: keywords that are another keyword of the last L2, for example
            ``{"async_retry_attempts": "retry_attempts"}``.
        extends: a construct of this library that gets the ``**props``, and compares the layout of those itself.

    The decorated constructor raises TypeError for a missing or unknown keyword or a value of the wrong type, and
    ValueError for a value out of range. Errors of CDK itself become a ValueError that names the keywords.
    """

    def decorate(constructor: Callable[P, None]) -> Callable[P, None]:
        sources = l2s if extends is None else (extends, *l2s)
        keywords = _Keywords(constructor, sources, rename if rename is not None else {})

        @functools.wraps(constructor)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
            construct = type(args[0]).__name__
            for name, expected, value in zip(_POSITIONAL, (Construct, str), args[1:], strict=False):
                _validate_positional(construct, name, expected, value)
            given = keywords.validate(construct, kwargs)
            if not isinstance(args[0], cdk.Stack):  # which is in no stack itself
                own = given if extends is None else keywords.own(given)
                validate_layout(keywords.owner, args[1:], own)
            try:
                constructor(*args, **given)  # type: ignore[arg-type]
            except RuntimeError as error:  # what Node throws
                raise ValueError(_cdk_message(construct, error, given)) from error

        return wrapper

    return decorate


def validated_method(method: Callable[P, R]) -> Callable[P, R]:
    """Decorate a method so that its arguments are validated like the keyword arguments of a constructor."""
    keywords = _Keywords(method, (), {})
    names = list(inspect.signature(method).parameters)

    @functools.wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        positional = dict(list(zip(names, args, strict=False))[1:])  # without self
        given = keywords.validate(method.__name__, {**positional, **kwargs})
        return method(*args, **{name: given[name] for name in given.keys() - positional})  # type: ignore[arg-type]

    return wrapper


class _Keywords:
    """The keyword arguments of a constructor or method, and the type of each."""

    def __init__(
        self, function: Callable[..., object], l2s: Sequence[type], rename: Mapping[str, str]
    ) -> None:
        parameters = inspect.signature(function).parameters.values()
        self._sources: list[Any] = [function]
        if any(p.kind == p.VAR_KEYWORD for p in parameters):
            self._sources += [inspect.unwrap(l2.__dict__["__init__"]) for l2 in l2s]
        self._rename = rename
        self.owner = function.__qualname__.split(".")[0]
        self._required = {
            p.name
            for p in parameters
            if p.default is p.empty
            and p.kind != p.VAR_KEYWORD
            and p.name not in ("self", *_POSITIONAL)
        }
        self._own = {p.name for p in parameters}
        self._types: dict[str, Any] = {}

    def own(self, given: Mapping[str, object]) -> dict[str, object]:
        """Those of the constructor itself, without its ``**props``."""
        return {keyword: value for keyword, value in given.items() if keyword in self._own}

    def validate(self, name: str, arguments: Mapping[str, object]) -> dict[str, object]:
        """The arguments that are given: None means "not given", as everywhere in CDK.

        Args:
            name: of the construct or method, for messages.
            arguments: the keyword arguments of the call.
        """
        given = {}
        for keyword, value in arguments.items():
            if keyword not in self._types:
                self._types[keyword] = self._type_of(name, keyword)
            if value is None and keyword not in self._required:
                continue
            given[keyword] = _converted(name, keyword, value, self._types[keyword])
            _validate_value(name, keyword, value, self.owner)
        missing = sorted(self._required - set(given))
        if missing:
            raise TypeError(f"{name}() needs {missing[0]}=: pass the keyword argument {missing[0]}")
        return given

    def _type_of(self, name: str, keyword: str) -> Any:
        for source in self._sources:
            original = (
                self._rename.get(keyword, keyword) if source is self._sources[-1] else keyword
            )
            annotations = source.__annotations__
            if original in annotations and original not in ("props", "return"):
                # One at a time: all annotations of lambda_.Function load a dozen modules of aws_cdk.
                one = types.SimpleNamespace(__annotations__={keyword: annotations[original]})
                return typing.get_type_hints(one, globalns=source.__globals__)[keyword]
        known = {known for source in self._sources for known in source.__annotations__}
        similar = difflib.get_close_matches(keyword, sorted(known - {"props", "return"}), n=1)
        suggestion = f"; did you mean {similar[0]!r}?" if similar else ""
        raise TypeError(f"{name}() has no keyword argument {keyword!r}{suggestion}")


def _validate_positional(construct: str, name: str, expected: type, value: object) -> None:
    if value is not None and not isinstance(value, expected):
        remedy = {"scope": "the stack or construct that it belongs to", "id": "a string"}[name]
        raise TypeError(f"{construct}({name}={_shown(value)}): pass {remedy}")


def _converted(name: str, keyword: str, value: object, expected: Any) -> object:
    """The value for jsii: a tuple as a list, a dict of a struct's members as the struct.

    jsii takes dicts for structs, but drops their members if they are in a list.
    """
    try:
        value = _with_structs(value, expected)
    except TypeError as error:  # a dict that does not have the members of its struct
        raise TypeError(f"{name}({keyword}={_shown(value)}): {error}") from None
    if not _matches(value, expected):
        raise TypeError(
            f"{name}({keyword}={_shown(value)}): expected {_type_name(expected)}, got "
            f"{type(value).__name__}{_hint(keyword, value, expected)}"
        )
    return value


def _with_structs(value: object, expected: Any) -> object:
    for one in (expected, *typing.get_args(expected)):
        if isinstance(value, dict) and value and hasattr(one, "__jsii_struct_bases__"):
            return one(**value)
        if isinstance(value, (list, tuple)) and typing.get_origin(one) is collections.abc.Sequence:
            return [_with_structs(item, typing.get_args(one)[0]) for item in value]
    return value


def _matches(value: object, expected: Any) -> bool:
    """Whether ``value`` is of the type ``expected``."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any or expected is object:
        return True
    if expected is None or expected is types.NoneType:
        return value is None
    if origin in (typing.Union, types.UnionType):
        is_struct = any(hasattr(one, "__jsii_struct_bases__") for one in arguments)
        if is_struct and isinstance(value, dict):  # an empty one: the others are structs by now
            return False
        return any(_matches(value, one) for one in arguments)
    if expected in (int, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if origin is not None and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            _matches(key, arguments[0]) and _matches(item, arguments[1])
            for key, item in value.items()
        )
    if origin is not None and issubclass(origin, Iterable):
        if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple)):
            return False
        return all(_matches(item, arguments[0]) for item in value)
    if getattr(expected, "_is_protocol", False):
        return implements(value, expected)
    return isinstance(value, expected)


def implements(value: object, interface: type) -> bool:
    """Whether a jsii object implements an interface such as ``kms.IKey``.

    ``isinstance`` does not work with jsii's interfaces. Imported resources are proxies that delegate to one object per
    interface.
    """
    proxy = interface.__jsii_proxy_class__()  # type: ignore[attr-defined]
    for one in (value, *getattr(value, "_delegates", ())):
        for base in type(one).__mro__:
            faces = (base, *getattr(base, "__jsii_ifaces__", ()))
            if base is proxy or any(interface in face.__mro__ for face in faces):
                return True
    return False


def _validate_value(name: str, keyword: str, value: object, owner: str) -> None:
    """Compare a number, duration or string with the limits of AWS, unless it is a token."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _validate_number(name, keyword, value)
    elif isinstance(value, cdk.Duration):
        _validate_duration(name, keyword, value, owner)
    elif isinstance(value, str):
        limits = defaults.TEXT_LIMITS
        limit = limits.get(f"{owner}.{keyword}", limits.get(keyword))
        if limit is None or (is_token(value) and not limit.literal):
            return
        if is_token(value) or not re.fullmatch(limit.pattern, value, re.DOTALL):
            raise ValueError(
                f"{name}({keyword}={_shown(value)}): pass {limit.description} ({limit.source})"
            )


def _validate_number(name: str, keyword: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{name}({keyword}={value!r}): pass a finite number")
    limit = defaults.NUMBER_LIMITS.get(keyword)
    if limit is None or is_token(value):
        return
    if not limit.low <= value <= limit.high or value % 1:
        raise ValueError(
            f"{name}({keyword}={value!r}): pass a whole number from {limit.low:,} to "
            f"{limit.high:,} ({limit.source})"
        )


def _validate_duration(name: str, keyword: str, value: cdk.Duration, owner: str) -> None:
    length = seconds(value)
    if length is None:
        return
    limits = defaults.DURATION_LIMITS
    limit = limits.get(f"{owner}.{keyword}", limits.get(keyword, defaults.ANY_DURATION))
    if not limit.low <= length <= limit.high:
        nearest = limit.low if length < limit.low else limit.high
        raise ValueError(
            f"{name}({keyword}={_words(length)}): must be from {_words(limit.low)} to "
            f"{_words(limit.high)}; pass for example Duration.seconds({nearest}) ({limit.source})"
        )
    if length % limit.step:
        rounded = math.ceil(length / limit.step) * limit.step
        raise ValueError(
            f"{name}({keyword}={_words(length)}): must be a multiple of {_words(limit.step)}; pass "
            f"for example Duration.seconds({rounded}) ({limit.source})"
        )


def _words(length: float) -> str:
    """Seconds as a person writes them: 7 days, 25 hours, 301 seconds."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if length >= 2 * size and length % size == 0:
            return f"{length / size:g} {unit}"
    return f"{length:g} seconds" if length != 1 else "1 second"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _type_name(expected: Any) -> str:
    """A type as a person writes it: ``Duration``, ``a list of LifecycleRule``."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin in (typing.Union, types.UnionType):
        named = [
            _type_name(one)
            for one in arguments
            if one is not types.NoneType and typing.get_origin(one) is not dict
        ]
        return " or ".join(dict.fromkeys(named))
    if origin is not None and issubclass(origin, Mapping):
        return f"a dict of {_type_name(arguments[0])} to {_type_name(arguments[1])}"
    if origin is not None:
        return f"a list of {_type_name(arguments[0])}"
    return {int: "a number", float: "a number"}.get(
        expected, getattr(expected, "__name__", str(expected))
    )


def _hint(keyword: str, value: object, expected: Any) -> str:
    """What to type instead, for the most common mistakes."""
    wanted = _type_name(expected)
    if "Duration" in wanted:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        example = value if is_number and 0 < value < math.inf else 30  # type: ignore[operator]
        return f"; pass for example Duration.{_unit(keyword)}({example})"
    if wanted.startswith("a list") and not isinstance(value, (list, tuple)):
        return f"; pass a list: [{_shown(value)}]"
    if isinstance(value, str) and value.startswith("arn:"):
        return "; import the resource first, for example with the L2's from_..._arn()"
    return ""


def _unit(keyword: str) -> str:
    """In which unit people write this duration."""
    limit = defaults.DURATION_LIMITS.get(keyword, defaults.ANY_DURATION)
    for unit, size in (("days", 86_400), ("hours", 3_600)):
        if limit.low >= size and limit.low % size == 0 and limit.step in (1, size):
            return unit
    return "seconds"


def _cdk_message(construct: str, error: RuntimeError, given: Mapping[str, object]) -> str:
    """CDK's error, with the keywords that it is about."""
    text = " ".join(str(error).split())  # a heading, and a line for each problem
    words = re.sub(r"[ -]", "", text).lower()  # CDK writes a keyword in camel case or in words
    named = [keyword for keyword in given if keyword.replace("_", "") in words]
    arguments = ", ".join(f"{keyword}={_shown(given[keyword])}" for keyword in (named or given))
    return f"{construct}({arguments}): {text}; {_CDK_REMEDY}"
