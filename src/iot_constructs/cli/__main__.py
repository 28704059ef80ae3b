"""Runs the console command as a module: ``python -m iot_constructs.cli``."""

import sys

from iot_constructs.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
