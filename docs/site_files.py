"""Hook of MkDocs: puts files of the repository into the site, under the paths that they have here.

The pages are those that the navigation names and those that a page links to. Any other file that a page links to comes
along as it is. So each relative link works in the repository and on the site, and a link to nothing fails the build.
A folder has no page: what links to one is shown without the link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK = re.compile(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")
_LINK_WITH_TEXT = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#:]+)\)")
_CELL = re.compile(r"<td.*?</td>", re.DOTALL)
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add what belongs to the site beside the files of ``docs_dir``."""
    root = _root(config)
    waiting = [*_named(config.nav)]
    added: set[str] = set()
    while waiting:
        path = waiting.pop()
        source = root / path
        if path in added or not source.is_file():
            continue  # MkDocs itself reports a file that is missing
        added.add(path)
        files.append(File.generated(config, path, abs_src_path=str(source)))
        if source.suffix == ".md":
            waiting += _linked(source, root)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take the links to folders out."""
    here = (_root(config) / page.file.src_uri).parent
    return _LINK_WITH_TEXT.sub(
        lambda link: link["text"] if (here / link["target"]).is_dir() else link[0], markdown
    )


def on_page_content(html: str, **_: Any) -> str:
    """In a cell of a table GitHub wants every bar escaped; Python-Markdown leaves the escape in code as it is."""
    return _CELL.sub(lambda cell: cell[0].replace("\\|", "|"), html)


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).resolve().parent


def _linked(page: Path, root: Path) -> list[str]:
    """What a page links to, as paths from the top of the repository."""
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    targets = [(page.parent / target).resolve() for target in _LINK.findall(text)]
    return [each.relative_to(root).as_posix() for each in targets if each.is_relative_to(root)]


def _named(nav: Any) -> Iterator[str]:
    """The files of the navigation, however deep."""
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for each in nav.values():
            yield from _named(each)
    else:
        for each in nav or ():
            yield from _named(each)
