"""Validation of arguments, on a construct of its own; tests/test_keywords.py goes through those of the library."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from iot_constructs import _defaults as defaults
from iot_constructs._validation import (
    is_token,
    seconds,
    validate_cannot_disable,
    validate_mutually_exclusive,
    validated,
    validated_method,
)
from tests.synth_support import fresh_app

NAN, INFINITY = float("nan"), float("inf")


class Probe(Construct):
    """One keyword of each kind, and those of a queue; ``hold`` is the queue's ``delivery_delay``."""

    @validated(sqs.Queue, rename={"hold": "delivery_delay"})
    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        required: str,
        batch_size: float | None = None,
        max_record_age: cdk.Duration | None = None,
        retention: cdk.Duration | None = None,
        anything: object | None = None,
        flag: bool = False,
        struct: sqs.DeadLetterQueue | dict[str, Any] | None = None,
        mapping: Mapping[str, int] | None = None,
        names: Sequence[str] = (),
        keys: Sequence[kms.IKey] = (),
        key: kms.IKey | None = None,
        either: kms.IKey | sns.ITopic | None = None,
        handler: str | None = None,
        **props: Any,
    ) -> None:
        super().__init__(scope, id)
        self.flag, self.names = flag, names
        if "hold" in props:
            props["delivery_delay"] = props.pop("hold")
        sqs.Queue(self, "Queue", **props)

    @validated_method
    def add(self, id: str, key: kms.IKey, *, names: Sequence[str] = ()) -> tuple[object, ...]:
        return (id, key, names)


class Closed(Construct):
    """Takes no properties of an L2."""

    @validated()
    def __init__(self, scope: Construct, id: str, *, flag: bool = False) -> None:
        super().__init__(scope, id)


@pytest.fixture(scope="module")
def stack() -> cdk.Stack:
    return cdk.Stack(fresh_app())


@pytest.fixture
def probe(stack: cdk.Stack) -> Callable[..., Probe]:
    return lambda **keywords: Probe(
        Construct(stack, f"Scope{len(stack.node.children)}"), "It", **{"required": "", **keywords}
    )


def number_tokens(stack: cdk.Stack) -> list[float]:
    parameter = stack.node.try_find_child("Number") or cdk.CfnParameter(
        stack, "Number", type="Number"
    )
    assert isinstance(parameter, cdk.CfnParameter)
    return [parameter.value_as_number, cdk.Token.as_number(cdk.Fn.ref("Elsewhere"))]


def test_tokens_are_recognized_in_every_encoding(stack: cdk.Stack) -> None:
    encoded = [
        *number_tokens(stack),
        cdk.Aws.REGION,
        f"prefix-{cdk.Aws.ACCOUNT_ID}-suffix",
        cdk.Token.as_any({"Ref": "X"}),
        cdk.Aws.NOTIFICATION_ARNS,
    ]
    assert [value for value in encoded if not is_token(value)] == []


@pytest.mark.parametrize(
    "value", [0, -1, True, 1.5, -1e200, NAN, INFINITY, -INFINITY, "", "${topic(2)}", None]
)
def test_ordinary_values_are_no_tokens(value: object) -> None:
    assert is_token(value) is False


def test_seconds_keep_fractions_and_are_none_for_a_token(stack: cdk.Stack) -> None:
    assert seconds(cdk.Duration.hours(2)) == 7200
    assert seconds(cdk.Duration.millis(1500)) == 1.5
    assert [seconds(cdk.Duration.seconds(token)) for token in number_tokens(stack)] == [None, None]


def test_disabling_an_enforced_setting_names_the_reason_and_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"^enforce_ssl=False: TLS only; remove enforce_ssl$"):
        validate_cannot_disable("enforce_ssl", False, "TLS only")
    validate_cannot_disable("enforce_ssl", True, "TLS only")
    validate_cannot_disable("enforce_ssl", None, "TLS only")


def test_mutually_exclusive_settings_are_all_named() -> None:
    others = {"name": "", "encryption": None, "shards": 0, "flag": False}
    with pytest.raises(
        ValueError, match=r"^stream excludes name='', shards=0, flag=False: remove them$"
    ):
        validate_mutually_exclusive("stream", others, "remove them")
    validate_mutually_exclusive("stream", {"name": None}, "remove them")


_AGE = defaults.DURATION_LIMITS["max_record_age"]
_SIZE = defaults.NUMBER_LIMITS["batch_size"]
WRONG_TYPES = [
    ({"required": None}, "required=None", "expected str, got NoneType"),
    ({"requird": "x"}, "no keyword argument 'requird'", "did you mean 'required'?"),
    ({"queue_nam": "x"}, "no keyword argument 'queue_nam'", "did you mean 'queue_name'?"),
    ({"props": {}}, "no keyword argument 'props'", ""),
    ({"return": None}, "no keyword argument 'return'", ""),
    ({"max_record_age": 30}, "expected Duration, got int", "example Duration.seconds(30)"),
    ({"max_record_age": 1.5}, "expected Duration, got float", "example Duration.seconds(1.5)"),
    ({"max_record_age": NAN}, "max_record_age=nan", "expected Duration, got float"),
    ({"max_record_age": True}, "max_record_age=True", "example Duration.seconds(30)"),
    (
        {"retention": datetime.timedelta(days=1)},
        "retention=datetime.timedelta(days=1)",
        "example Duration.days(30)",
    ),
    ({"delivery_delay": 5}, "delivery_delay=5", "example Duration.seconds(5)"),
    ({"hold": 5}, "hold=5", "expected Duration"),
    ({"flag": 1}, "flag=1", "expected bool, got int"),
    ({"batch_size": True}, "batch_size=True", "expected a number, got bool"),
    ({"batch_size": "100"}, "batch_size='100'", "expected a number, got str"),
    ({"struct": 1}, "struct=1", "expected DeadLetterQueue, got int"),
    ({"struct": {"queue": 1}}, "struct={'queue': 1}", "'max_receive_count'"),
    ({"struct": {"max": 1}}, "struct={'max': 1}", "'max'"),
    ({"mapping": {"a": "1"}}, "mapping={'a': '1'}", "expected a dict of str to a number"),
    ({"mapping": {1: 1}}, "mapping={1: 1}", "expected a dict of str to a number"),
    ({"mapping": [("a", 1)]}, "mapping=[('a', 1)]", "expected a dict"),
    ({"names": "one"}, "expected a list of str, got str", "pass a list: ['one']"),
    ({"names": b"one"}, "names=b'one'", "expected a list of str, got bytes"),
    ({"names": ["one", 2]}, "names=['one', 2]", "expected a list of str, got list"),
    ({"key": "arn:aws:kms:x"}, "expected IKey, got str", "import the resource first"),
    ({"either": 1}, "either=1", "expected IKey or ITopic, got int"),
    ({"names": "x" * 100}, f"names='{'x' * 76}...)", "expected"),
]
WRONG_VALUES = [
    ({"batch_size": _SIZE.low - 1}, f"batch_size={_SIZE.low - 1}", "whole number from"),
    ({"batch_size": _SIZE.high + 1}, f"to {_SIZE.high:,}", _SIZE.source),
    ({"batch_size": 1.5}, "batch_size=1.5", "pass a whole number"),
    ({"batch_size": -1e200}, "batch_size=-1e+200", "pass a whole number"),
    ({"batch_size": NAN}, "batch_size=nan", "pass a finite number"),
    ({"anything": -INFINITY}, "anything=-inf", "pass a finite number"),
    ({"handler": "a b"}, "handler='a b'", defaults.TEXT_LIMITS["handler"].description),
    (
        {"max_record_age": cdk.Duration.seconds(_AGE.low - 1)},
        f"max_record_age={_AGE.low - 1} seconds): must be from ",
        f"example Duration.seconds({_AGE.low}) ({_AGE.source})",
    ),
    (
        {"max_record_age": cdk.Duration.seconds(_AGE.high + 1)},
        f"max_record_age={_AGE.high + 1} seconds)",
        f"example Duration.seconds({_AGE.high})",
    ),
    (
        {"max_record_age": cdk.Duration.millis(_AGE.low * 1000 + 500)},
        f"max_record_age={_AGE.low}.5 seconds): must be a multiple of 1 second",
        f"example Duration.seconds({_AGE.low + 1})",
    ),
    ({"retention": cdk.Duration.hours(20)}, "retention=20 hours", "must be from"),
    ({"retention": cdk.Duration.days(365_000)}, "retention=365000 days", "must be from"),
    ({"retention": cdk.Duration.minutes(90)}, "retention=90 minutes", "must be from"),
    # Limits of CDK: its error, with the keywords that it is about, or with all.
    (
        {"flag": True, "fifo": False, "content_based_deduplication": True},
        "Probe(fifo=False, content_based_deduplication=True): Content-based deduplication can only be",
        "see the AWS CDK API reference",
    ),
    (
        {"max_message_size_bytes": 1},
        "Probe(required='', max_message_size_bytes=1): ",
        "but 1 was provided",
    ),
]


@pytest.mark.parametrize(("keywords", "problem", "remedy"), WRONG_TYPES)
def test_a_wrong_type_is_a_type_error_with_keyword_and_remedy(
    probe: Callable[..., Probe], keywords: dict[str, Any], problem: str, remedy: str
) -> None:
    with pytest.raises(TypeError) as failure:
        probe(**keywords)
    assert str(failure.value).startswith("Probe(")
    assert problem in str(failure.value)
    assert remedy in str(failure.value)


@pytest.mark.parametrize(("keywords", "problem", "remedy"), WRONG_VALUES)
def test_a_wrong_value_is_a_value_error_with_keyword_and_remedy(
    probe: Callable[..., Probe], keywords: dict[str, Any], problem: str, remedy: str
) -> None:
    with pytest.raises(ValueError) as failure:
        probe(**keywords)
    assert str(failure.value).startswith("Probe(")
    assert problem in str(failure.value)
    assert remedy in str(failure.value)


def test_right_values_pass_up_to_the_limits(probe: Callable[..., Probe], stack: cdk.Stack) -> None:
    number, other = number_tokens(stack)
    for keywords in (
        {"batch_size": _SIZE.low, "max_record_age": cdk.Duration.seconds(_AGE.low)},
        {"batch_size": float(_SIZE.high), "max_record_age": cdk.Duration.seconds(_AGE.high)},
        {"batch_size": number, "max_record_age": cdk.Duration.seconds(other)},
        {"handler": cdk.Aws.REGION, "names": cdk.Aws.NOTIFICATION_ARNS},
        {"anything": [object], "mapping": {"a": 1}},
        {"queue_name": "q", "hold": cdk.Duration.seconds(3)},
    ):
        probe(**keywords)


def test_none_is_not_given_and_a_tuple_arrives_as_a_list(probe: Callable[..., Probe]) -> None:
    it = probe(flag=None, names=None, batch_size=None, queue_name=None)
    assert (it.flag, it.names) == (False, ())
    assert probe(names=("one", "two")).names == ["one", "two"]  # jsii has no tuples


def test_a_construct_may_have_limits_of_its_own(
    probe: Callable[..., Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = defaults.TextLimit("[a-z]", "one letter", "the page")
    monkeypatch.setitem(defaults.TEXT_LIMITS, "Probe.handler", limit)
    probe(handler="a")
    with pytest.raises(
        ValueError, match=r"^Probe\(handler='index.h'\): pass one letter \(the page"
    ):
        probe(handler="index.h")


def test_an_interface_takes_what_implements_it_and_nothing_else(
    probe: Callable[..., Probe], stack: cdk.Stack
) -> None:
    key, topic = kms.Key(stack, "Key"), sns.Topic(stack, "Topic")
    imported = kms.Key.from_key_arn(stack, "Imported", "arn:aws:kms:eu-west-1:1:key/a")
    alias = kms.Alias(stack, "Alias", alias_name="own", target_key=key)
    for one in (key, imported, alias):
        probe(key=one, keys=[one], either=one)
    probe(either=topic)
    queue = sqs.Queue(stack, "Queue")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"key": topic}, "expected IKey, got Topic"),
        ({"keys": [key, topic]}, "expected a list of IKey"),
        ({"keys": key}, "pass a list"),
        ({"either": queue}, "expected IKey or ITopic, got Queue"),
    ]
    for keywords, message in wrong:
        with pytest.raises(TypeError, match=message):
            probe(**keywords)


def test_a_missing_keyword_is_named(stack: cdk.Stack) -> None:
    with pytest.raises(TypeError, match=r"Probe\(\) needs required=: pass the keyword argument"):
        Probe(stack, "It")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "create",
    [
        lambda scope, id: Probe(scope, id, required=""),
        lambda scope, id: Probe(scope=scope, id=id, required=""),
    ],
)
def test_a_wrong_scope_or_id_is_named(stack: cdk.Stack, create: Callable[..., Probe]) -> None:
    for scope, id, message in (
        ("stack", "It", r"^Probe\(scope='stack'\): "),
        (stack, 7, r"^Probe\(id=7\): "),
    ):
        with pytest.raises(TypeError, match=message):
            create(scope, id)


def test_a_constructor_without_props_takes_its_own_keywords_only(stack: cdk.Stack) -> None:
    with pytest.raises(TypeError, match=r"no keyword argument 'flags'; did you mean 'flag'\?"):
        Closed(stack, "Wrong", flags=True)  # type: ignore[call-arg]
    Closed(stack, "Right", flag=True)


def test_the_arguments_of_a_method_are_validated_by_position_and_by_keyword(
    probe: Callable[..., Probe], stack: cdk.Stack
) -> None:
    it, key = probe(), kms.Key(stack, "MethodKey")
    assert it.add("a", key, names=["n"]) == it.add(id="a", key=key, names=["n"])
    wrong: list[tuple[tuple[object, ...], dict[str, object], str]] = [
        (("a", 1), {}, r"add\(key=1\): expected IKey"),
        (("a",), {"key": 1}, r"add\(key=1\): expected IKey"),
        ((1, key), {}, r"add\(id=1\): expected str"),
        (("a", None), {}, r"add\(key=None\): expected IKey"),
        (("a",), {}, r"add\(\) needs key="),
        (("a", key), {"names": "n"}, r"add\(names='n'\): expected a list"),
        (("a", key), {"name": []}, "no keyword argument 'name'; did you mean 'names'"),
    ]
    for args, keywords, message in wrong:
        with pytest.raises(TypeError, match=message):
            it.add(*args, **keywords)  # type: ignore[arg-type]
