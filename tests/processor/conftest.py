"""The processor's modules are top-level modules in Lambda, so they are here too."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROCESSOR = Path(__file__).parents[2] / "examples" / "iot_pipeline" / "processor"
sys.path.insert(0, str(PROCESSOR))
# Powertools reads them when handler.py is imported.
os.environ["POWERTOOLS_SERVICE_NAME"] = "stream-processor"
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "IotPipeline"
