"""Imports a Lambda handler anew for each execution environment, as a cold start does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

Handler = Callable[[Any, Any], Any]
Modules = dict[str, ModuleType]


class FunctionCode:
    """A handler, and the modules of its folder, of which each environment has its own."""

    def __init__(self, handler: str | Handler, code: Path | str | None) -> None:
        self._handler = handler
        self._folder = None if code is None else Path(code).resolve()
        self._names: frozenset[str] = frozenset()
        self._active: Modules = {}
        if not isinstance(handler, str):
            return
        self._module, _, self._attribute = handler.replace("/", ".").rpartition(".")
        if not self._module:
            raise ValueError(f"handler {handler!r} must be 'module.function'")
        self._names = frozenset([self._module.partition(".")[0], *_top_level(self._folder)])

    @property
    def is_warm(self) -> bool:
        """Whether all environments share the handler's globals, because it was passed as a callable."""
        return not isinstance(self._handler, str)

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Make the folder importable, and restore the modules of the caller afterwards."""
        original = self._take_out()
        self._active = {}
        if self._folder is not None:
            sys.path.insert(0, str(self._folder))
            importlib.invalidate_caches()
        try:
            yield
        finally:
            if self._folder is not None:
                sys.path.remove(str(self._folder))
            self._take_out()
            sys.modules.update(original)

    def load(self) -> tuple[Handler, Modules]:
        """Import the handler as a new environment does.

        Raises:
            ImportError, AttributeError: there is no such handler.
        """
        if not isinstance(self._handler, str):
            return self._handler, {}
        self._active.update(self._take_out())
        self._active = {}
        handler = getattr(importlib.import_module(self._module), self._attribute)
        return handler, self._active

    def activate(self, modules: Modules) -> None:
        """Let `import` find the modules of an environment."""
        if self._active is not modules and not self.is_warm:
            self._active.update(self._take_out())
            sys.modules.update(modules)
            self._active = modules

    def _take_out(self) -> Modules:
        found = [name for name in sys.modules if name.partition(".")[0] in self._names]
        return {name: sys.modules.pop(name) for name in found}


def _top_level(folder: Path | None) -> list[str]:
    """Return the names of the modules and packages in a folder."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise ValueError(f"code: {folder} is not a folder")
    return [
        path.stem
        for path in folder.iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name.isidentifier())
    ]
