"""What the verdict on a mutant depends on: the files that its tests import, and those that they read by name."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

_SOURCES: Final = ("src", "tests", "examples", "bench", "docs")
_IMPORTED_FROM: Final = ("", "src/", "examples/iot_pipeline/processor/")
_ALWAYS: Final = ("constraints.txt", "pyproject.toml", "tools/mutant_worker.py")
"""Versions of what is installed, and how tests are run."""


class Dependencies:
    """The files of a repository that decide how a test file ends."""

    def __init__(self, root: Path) -> None:
        found = (path for folder in _SOURCES for path in (root / folder).rglob("*.*"))
        # Read at once: somebody may change a file while mutants run in the copies.
        self._files = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in [*found, *(root / name for name in _ALWAYS)]
            # No test reads prose.
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md"
        }
        self._of = cache(self._find)
        self._imported_by = cache(lambda file: frozenset(self._imports(file)))

    def key(self, file: str, text: str, tests: tuple[str, ...]) -> str:
        """Of the tests' verdict when ``text`` is in ``file``; it changes with whatever they depend on."""
        files = sorted(set().union(*map(self._of, tests)) - {file})
        parts = [sys.version, file, text, *tests, *(f"{it} {self._hash(it)}" for it in files)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def _find(self, test: str) -> frozenset[str]:
        """What a test file imports, directly or not, and what is named in that, such as ``permissions.txt``."""
        found: set[str] = set()
        folders = Path(test).parents
        todo = [test, *(f"{folder.as_posix()}/conftest.py" for folder in folders)]
        while todo:
            file = todo.pop()
            if file in self._files and file not in found:
                found.add(file)
                todo += self._imported_by(file)
        texts = [self._text(file) for file in found]
        named = {it for it in self._files if any(Path(it).name in text for text in texts)}
        return frozenset(found | named | (self._files.keys() & set(_ALWAYS)))

    def _imports(self, file: str) -> Iterator[str]:
        if not file.endswith(".py"):
            return
        tree = ast.parse(self._text(file))
        for_types = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if node in for_types:
                continue
            if isinstance(node, ast.Import):
                for name in node.names:
                    yield from self._modules(name.name)
                    yield from self._lazily_exported(name.name, None)
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                yield from self._modules(node.module)
                for name in node.names:
                    yield from self._modules(f"{node.module}.{name.name}")
                    yield from self._lazily_exported(node.module, name.name)

    def _modules(self, module: str) -> Iterator[str]:
        """A module and the packages around it."""
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            for start in _IMPORTED_FROM:
                for file in (f"{start}{path}.py", f"{start}{path}/__init__.py"):
                    if file in self._files:
                        yield file

    def _lazily_exported(self, package: str, name: str | None) -> Iterator[str]:
        """Where a package that loads its names when they are asked for has one, or any, from."""
        for file in self._modules(package):
            if not file.endswith("/__init__.py"):
                continue
            for node in ast.walk(ast.parse(self._text(file))):
                if isinstance(node, ast.ImportFrom) and node.module is not None:
                    names = [it.name for it in node.names]
                    yield from self._modules(node.module) if name in (None, *names) else ()

    def _text(self, file: str) -> str:
        return self._files[file].decode(errors="replace")

    def _hash(self, file: str) -> str:
        return hashlib.sha256(self._files[file]).hexdigest()
