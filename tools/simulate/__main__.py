"""Runs seeds and prints what they found.

python -m tools.simulate --help
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from iot_constructs.cli.options import positive_integer
from tools.simulate.pipeline import Options, simulate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the seeds and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.simulate", description=__doc__)
    parser.add_argument("--seed", type=positive_integer, default=1, metavar="N")
    parser.add_argument("--seeds", type=positive_integer, default=10, metavar="N")
    parser.add_argument("--records", type=positive_integer, default=500, metavar="N")
    options = parser.parse_args(arguments)
    failed = 0
    for seed in range(options.seed, options.seed + options.seeds):
        result = simulate(Options(seed, records=options.records))
        for violation in result.violations[:3]:
            print(f"seed {seed}: {violation}")
        failed += bool(result.violations)
    print(f"{options.seeds} seeds, {failed} with violations")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
