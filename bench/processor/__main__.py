"""Prints one line of JSON for each figure: ``python -m bench.processor``."""

import argparse

from bench.processor import measure

parser = argparse.ArgumentParser(prog="python -m bench.processor", description=__doc__)
parser.add_argument("--runs", type=int, default=measure.RUNS, metavar="N")
for figure in measure.figures(runs=parser.parse_args().runs):
    print(figure.line(), flush=True)
