"""The output of the demo: progress bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

# Without a terminal, rich assumes 80 columns.
LOG_WIDTH = 118

Report = Callable[[int, int], None]
"""Called with the completed and the total number of items."""


class Screen:
    """Human-readable standard output."""

    def __init__(self) -> None:
        terminal = Console()
        is_terminal = terminal.is_terminal
        self._console = terminal if is_terminal else Console(width=LOG_WIDTH)
        self._bars = is_terminal

    def print(self, text: str = "") -> None:
        """Print a line without markup."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def heading(self, text: str) -> None:
        """Print the heading of a section."""
        self._console.print()
        self._console.print(text, style="bold", markup=False, highlight=False)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table. Columns of numbers are right-aligned."""
        table = Table(show_edge=False, pad_edge=False, header_style="bold")
        for position, column in enumerate(columns):
            numbers = all((row[position] == "-" or row[position].isdigit()) for row in rows)
            table.add_column(column, justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._console.print(table, markup=False, highlight=False)

    @contextmanager
    def step(self, text: str) -> Iterator[Report]:
        """Show the progress of one step."""
        if self._bars:
            with self._bar(text) as report:
                yield report
        else:
            with self._lines(text) as report:
                yield report

    @contextmanager
    def _bar(self, text: str) -> Iterator[Report]:
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        with progress:
            task = progress.add_task(f"{text:<30}", total=None)

            def report(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            yield report
            total = progress.tasks[0].total
            finished = total if total is not None else 1
            progress.update(task, completed=finished, total=finished)

    @contextmanager
    def _lines(self, text: str) -> Iterator[Report]:
        start = time.monotonic()
        self.print(f"{text} ...")
        quarter = 0

        def report(done: int, total: int) -> None:
            nonlocal quarter
            now = 4 * done // total if total else 0
            if now > quarter and done < total:
                self.print(f"  {done} of {total}")
            quarter = max(quarter, now)

        yield report
        self.print(f"  completed in {time.monotonic() - start:.1f} s")
