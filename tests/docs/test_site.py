"""The site builds strictly, which checks its links, and nothing is fetched for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
# Connections fail, so a build that fetches something does, too.
_OFFLINE_BUILD = """
import socket, sys
def refuse(*_, **__): raise OSError("the build must not use the network")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
from mkdocs.__main__ import cli
cli(["build", "--strict", "--config-file", sys.argv[1], "--site-dir", sys.argv[2]])
"""


def _build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _OFFLINE_BUILD, str(config), str(site)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = _build(_ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_it_has_the_readme_the_api_and_the_guide(site: Path) -> None:
    assert "with secure, production-ready defaults" in (site / "index.html").read_text(
        encoding="utf-8"
    )
    constructs = (site / "docs" / "api" / "constructs.html").read_text(encoding="utf-8")
    assert 'id="iot_constructs.StreamProcessor"' in constructs
    commands = (site / "docs" / "api" / "command-line.html").read_text(encoding="utf-8")
    assert "usage: iot-constructs redrive" in commands
    table = (site / "docs" / "api" / "defaults.html").read_text(encoding="utf-8")
    assert "PITR_RECOVERY_PERIOD_DAYS" in table
    for page in (_ROOT / "docs" / "guide").glob("*.md"):
        assert (site / "docs" / "guide" / f"{page.stem}.html").is_file(), page
    assert (site / "docs" / "redrive.html").is_file()


def test_search_works_from_the_disk(site: Path) -> None:
    assert "IFrameWorker" in (site / "assets" / "iframe-worker.js").read_text(encoding="utf-8")
    index = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    assert index.startswith("var __index = {")
    assert "FunctionResponseTypes" in index


def test_a_file_that_a_page_links_to_comes_along(site: Path) -> None:
    copied = site / "src" / "iot_constructs" / "_defaults.py"
    assert copied.read_bytes() == (_ROOT / "src" / "iot_constructs" / "_defaults.py").read_bytes()


def test_every_file_that_a_page_names_is_there(site: Path) -> None:
    """What strict mode does not see as well: links and pictures in HTML."""
    named = [
        (page, name)
        for page in site.rglob("*.html")
        if page.name != "404.html"  # served from any path: its links are absolute
        for name in re.findall(r"""(?:src|href)=["']([^"':#?]+)["'#?]""", page.read_text("utf-8"))
    ]
    assert len(named) > 100
    assert [each for each in named if not (each[0].parent / each[1]).exists()] == []


def test_a_reader_of_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 8
    for page in pages:
        text = page.read_text(encoding="utf-8")
        tags = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", text)
        outside = [tag for tag in tags if re.search(r"(?:src|href)=[\"']?(?:https?:)?//", tag)]
        assert outside == [], page
        assert 'class="mermaid"' not in text, f"{page}: the theme would load mermaid from a CDN"


def test_good_links_pass_strictly(tmp_path: Path) -> None:
    # The folder is shown without the link.
    done = _build_pages_with(tmp_path, ["other.md#a-heading", "../code.py", "../docs"])
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_to_nothing_fail_the_build(tmp_path: Path) -> None:
    wrong = ["othre.md", "other.md#a-heding", "../no_code.py", "/docs/other.md"]
    done = _build_pages_with(tmp_path, wrong)
    assert done.returncode != 0
    assert [link for link in wrong if f"'{link}'" not in done.stderr] == []
    assert f"Aborted with {len(wrong)} warnings" in done.stdout + done.stderr


def _build_pages_with(root: Path, links: list[str]) -> subprocess.CompletedProcess[str]:
    """A repository of two pages with the settings of this one."""
    settings = (_ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = re.sub(r"^nav:\n( .*\n)+", "nav:\n  - docs/page.md\n", settings, flags=re.M)
    settings = settings.replace("docs/hooks.py", str(_ROOT / "docs" / "hooks.py"))
    (root / "docs" / "site").mkdir(parents=True)
    (root / "mkdocs.yml").write_text(settings, encoding="utf-8")
    (root / "code.py").write_text("", encoding="utf-8")
    (root / "docs" / "other.md").write_text("# Other\n\n## A heading\n", encoding="utf-8")
    text = "\n".join(f"[there]({link})" for link in ["other.md", *links])
    (root / "docs" / "page.md").write_text(f"# Page\n\n{text}\n", encoding="utf-8")
    return _build(root / "mkdocs.yml", root / "built")
