"""The same as the console command, for where that is not on the path: ``python -m iot_constructs.cli``."""

import sys

from iot_constructs.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
