"""The processor's modules are top-level modules in Lambda, so they are here too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "iot_pipeline" / "processor"))
