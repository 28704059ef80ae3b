"""Hooks of MkDocs: files of the repository under the paths that they have here, and the help of the commands.

The pages are those that the navigation names and those that a page links to. Any other file that a page links to comes
along as it is. So each relative link works in the repository and on the site, and a link to nothing fails the build.
A folder has no page: what links to one is shown without the link.

The script that lets a browser search from the disk is a package of npm, which `make setup` installs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from iot_constructs.cli.main import _parser

_WORKER = Path(sys.prefix) / "cdk" / "node_modules" / "iframe-worker" / "shim" / "index.js"
_LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
_LINK_WITH_TEXT = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#:]+)\)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)
_COMMANDS = "<!-- command line -->"


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what belongs to the site beside the files of ``docs_dir``."""
    root = Path(config.config_file_path).parent
    files.append(File.generated(config, "assets/iframe-worker.js", abs_src_path=str(_WORKER)))
    waiting = re.findall(r"[\w./-]+\.md", str(config.nav))
    added: set[str] = set()
    while waiting:
        path = waiting.pop()
        source = root / path
        if path in added or not source.is_file():
            continue  # MkDocs itself reports a file that is missing
        added.add(path)
        files.append(File.generated(config, path, abs_src_path=str(source)))
        if source.suffix == ".md":
            text = _CODE.sub("", source.read_text(encoding="utf-8"))
            targets = [(source.parent / target).resolve() for target in _LINK.findall(text)]
            waiting += [str(each.relative_to(root)) for each in targets if root in each.parents]
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take the links to folders out, and put the help of the commands in."""
    here = Path(page.file.abs_src_path or "").parent
    if _COMMANDS in markdown:
        markdown = markdown.replace(_COMMANDS, _help())
    return _LINK_WITH_TEXT.sub(
        lambda link: link["text"] if (here / link["target"]).is_dir() else link[0], markdown
    )


def _help() -> str:
    os.environ["COLUMNS"] = "80"
    (commands,) = (a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    return "\n\n".join(
        f"## iot-constructs {name}\n\n```text\n{command.format_help().rstrip()}\n```"
        for name, command in commands.choices.items()
    )
