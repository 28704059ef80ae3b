"""Writes API.md from the docstrings and the table of defaults: ``python -m docs.generate_api``.

The sources are read, not imported: nothing of CDK is started. An argument, an attribute or a method that no docstring
describes is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import griffe

from docs import api_commands, api_defaults, api_pages, api_text

ROOT = Path(__file__).parent.parent
API_MD = ROOT / "API.md"
SOURCES = ROOT / "src"

_INTRODUCTION = """\
<!-- Written by docs/generate_api.py from the docstrings in src/iot_constructs: edit those, then run `make docs`. -->
# API

Every public name: what each argument does, its unit and range, and its default.

For all constructs:

* `scope` and `id` are those of any construct; everything else is a keyword argument. Construct ids and resource names
  are API: a change replaces a resource.
* An omitted argument, or `None`, has the default in its description.
* `**props: Unpack[BucketProps]` takes every property of the CDK construct that the description names. Your values
  override the defaults, except for the enforced settings.
* Name arguments are base names: the environment suffix is added, and the result is checked against the naming rules of
  the service. A name that another resource of the app has is a `ValueError`. `PhysicalName.GENERATE_IF_NEEDED` leaves
  the name to CloudFormation.
* `environment_suffix`, if omitted, is that of the nearest stack, stage, app or other scope that carries one, then the
  context key `environmentSuffix`, then `dev`: see [EnvironmentSuffix.of](#environmentsuffixof). `name_prefix` likewise,
  with the context key `namePrefix` and the default `iot`.
* `encryption_key`, if omitted, is the customer managed key that all constructs of a stack share.
* `removal_policy`, if omitted, is `DESTROY` in an ephemeral [SuffixedStack](#suffixedstack) and
  `RETAIN_ON_UPDATE_OR_DELETE` elsewhere; `RETAIN` for a table with deletion protection.
* Types are those of `aws_cdk`: `cdk.Duration` is `aws_cdk.Duration`, and `kinesis.IStream` is
  `aws_cdk.aws_kinesis.IStream`.
* A value that is out of range or contradicts another one is a `ValueError`, a value of the wrong type a `TypeError`.
  The message shows the keyword, the value and the remedy. A token passes every check.
* In the examples, `stack` is any stack, `stream` a `MonitoredStream` and `processor` a `StreamProcessor`.
"""


def api_md(sources: Path = SOURCES) -> str:
    """The whole file."""
    package = griffe.load("iot_constructs", search_paths=[str(sources)], allow_inspection=False)
    if not isinstance(package, griffe.Module):
        raise TypeError("iot_constructs is not a package")
    return "\n\n".join(_parts(package, sources)).replace("\n\n\n", "\n\n") + "\n"


def _parts(package: griffe.Module, sources: Path) -> Iterator[str]:
    source = sources / "iot_constructs" / "_defaults.py"
    defaults = api_defaults.read(source)
    modules = (package, package["rules"])
    yield _INTRODUCTION
    yield api_text.table(
        ("name", "what it is"),
        (
            (f"[{name}](#{name.lower()})", api_text.cell(api_pages.summary(each)))
            for module in modules
            for name, each in _public(module)
        ),
    )
    for module in modules:
        for name, each in _public(module):
            yield api_pages.page(name, each, defaults)
    yield api_commands.chapter()
    yield _warnings(package["_warnings"])
    yield api_defaults.chapter(defaults, source)


def _public(module: griffe.Module) -> Iterator[tuple[str, griffe.Object]]:
    """What ``__all__`` names, with what stands behind it."""
    for name in module.exports or []:
        member = module[str(name)]
        yield str(name), member.final_target if isinstance(member, griffe.Alias) else member


def _warnings(module: griffe.Module) -> str:
    """The stable ids, which are what silences a warning."""
    found = {
        str(member.value).strip("'\""): member.docstring.value if member.docstring else ""
        for member in module.members.values()
        if isinstance(member, griffe.Attribute)
    }
    undescribed = [id_ for id_, text in found.items() if not text]
    if undescribed:
        raise ValueError(f"_warnings.py does not say when these come up: {undescribed}")
    rows = [(api_text.code(id_), api_text.cell(text)) for id_, text in found.items()]
    return "\n\n".join(
        [
            "## Warnings",
            "CDK prints these at synth. `Annotations.of(scope).acknowledge_warning(id)` silences one.",
            api_text.table(("id", "when"), rows),
        ]
    )


if __name__ == "__main__":
    API_MD.write_text(api_md(), encoding="utf-8")
