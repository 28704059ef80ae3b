"""The same as the console command, for where that is not on the path: ``python -m iot_constructs.ops``."""

import sys

from iot_constructs.ops.cli import main

if __name__ == "__main__":
    sys.exit(main())
