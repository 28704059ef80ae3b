"""Writes API.md from the docstrings and the table of defaults: ``python -m docs.generate_api``.

The sources are read, not imported: nothing of CDK is started. An argument, an attribute or a method that no docstring
describes is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import griffe

from docs import api_commands, api_defaults, api_facts, api_pages, api_text

ROOT = Path(__file__).parent.parent
API_MD = ROOT / "API.md"
SOURCES = ROOT / "src"

_INTRODUCTION = """\
<!-- Written by docs/generate_api.py from the docstrings in src/iot_constructs: edit those, then run `make docs`. -->
# API

Every public name, what each argument does, in which unit and range, and what happens when it is left out.

What holds for all constructs:

* `scope` and `id` are those of any construct; everything else is a keyword. The ids and the names of resources are
  API: changing one replaces a resource.
* Left out, or `None`, an argument is what its description says.
* Name arguments are stems: the environment's suffix is added, and the result is held to the limits of the service it
  names ([FACTS 7, 8, 9, 11](docs/FACTS.md)). Two resources of one kind with one name in an app are a `ValueError`.
* `environment_suffix` is looked up by [EnvironmentSuffix.of](#environmentsuffixof): the nearest stack, stage or app
  that carries one, then the context key `environmentSuffix`, then `dev`.
* `encryption_key`: the stack shares one customer managed key, which is made when it is first needed and rotates yearly.
* `removal_policy` is `RETAIN`, but `DESTROY` in an ephemeral [SuffixedStack](#suffixedstack). Asking for `DESTROY`
  outside of one is a `ValueError`.
* Types are those of `aws_cdk`: `cdk.Duration` is `aws_cdk.Duration`, and `kinesis.IStream` is
  `aws_cdk.aws_kinesis.IStream`.
* An error is a `ValueError` that shows the value and names the remedy. A number that is a token is passed on unchecked
  where CDK takes one.
* In the examples `stack` is any stack, `stream` a `MonitoredStream` and `processor` a `StreamProcessor`.
"""


def api_md(sources: Path = SOURCES) -> str:
    """The whole file."""
    package = griffe.load("iot_constructs", search_paths=[str(sources)], allow_inspection=False)
    if not isinstance(package, griffe.Module):
        raise TypeError("iot_constructs is not a package")
    return "\n\n".join(_parts(package, sources)).replace("\n\n\n", "\n\n") + "\n"


def _parts(package: griffe.Module, sources: Path) -> Iterator[str]:
    evidence = api_pages.Evidence(
        defaults=api_defaults.read(sources / "iot_constructs" / "_defaults.py"),
        facts=api_facts.pages(ROOT / "docs" / "FACTS.md"),
    )
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
            yield api_pages.page(name, each, module.path, evidence)
    yield api_commands.chapter()
    yield _warnings(package["_warnings"])
    yield api_defaults.chapter(evidence.defaults)


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
