"""Copies of the repository to break: the work tree itself is never touched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent

_FOLDERS: Final = ("src", "tests", "examples", "bench", "docs", "tools")


class WorkingCopy:
    """One copy, in which one file at a time is changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._changes = 0

    @classmethod
    def make(cls, of: Path, at: Path) -> WorkingCopy:
        """Copy what tests read: the folders, and every file of the root. ``.venv`` is a link."""
        at.mkdir(parents=True)
        for folder in _FOLDERS:
            if (of / folder).is_dir():
                # Compiled files come along: they are valid as long as the sources keep their times.
                shutil.copytree(of / folder, at / folder)
        for file in of.iterdir():
            if file.is_file():
                shutil.copy2(file, at / file.name)
        venv = of / ".venv"
        if venv.exists():
            (at / ".venv").symlink_to(venv.resolve())
        return cls(at)

    @contextmanager
    def changed(self, file: str, text: str) -> Iterator[None]:
        """With ``text`` in place of what is in ``file``."""
        target = self.path / file
        before = target.read_bytes()
        times = target.stat()
        try:
            target.write_text(text, encoding="utf-8")
            # Python takes a compiled file for valid by time and size: no two changes may be of one second.
            self._changes += 1
            second = int(times.st_mtime) - self._changes
            os.utime(target, (second, second))
            yield
        finally:
            target.write_bytes(before)
            os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
