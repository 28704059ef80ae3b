"""Prints one line of JSON for each figure: ``python -m bench.processor``."""

from __future__ import annotations

import argparse

from bench.processor import measure


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.processor", description=__doc__)
    parser.add_argument("--records", type=int, default=measure.RECORDS, metavar="N")
    parser.add_argument("--rounds", type=int, default=measure.ROUNDS, metavar="N")
    parser.add_argument("--cold-starts", type=int, default=measure.COLD_STARTS, metavar="N")
    parser.add_argument(
        "--latency-ms",
        type=float,
        default=0.0,
        metavar="MS",
        help="hold up each call of each contender, as the way to AWS and back does",
    )
    options = parser.parse_args()
    for figure in measure.figures(
        options.records,
        rounds=options.rounds,
        cold_starts=options.cold_starts,
        latency_ms=options.latency_ms,
    ):
        print(figure.line(), flush=True)


if __name__ == "__main__":
    main()
