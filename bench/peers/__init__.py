"""The pipeline of the example as the library's peers build it, each in an environment of its own."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PROCESSOR: Final = str(ROOT / "src" / "iot_constructs" / "processor")
"""The code of every function: what CDK copies and hashes is the same for all."""
