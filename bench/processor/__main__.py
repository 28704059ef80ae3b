"""The processor bench alone: ``python -m bench.processor``, with ``--runs 2`` for a quick look."""

import sys

from bench.__main__ import main

raise SystemExit(main(["--only", "processor", *sys.argv[1:]]))
