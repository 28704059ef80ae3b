"""Makes the processor's modules importable as top-level modules, as in Lambda."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROCESSOR = Path(__file__).parents[2] / "examples" / "iot_pipeline" / "processor"
sys.path.insert(0, str(PROCESSOR))
# Powertools reads these variables when handler.py is imported.
os.environ["POWERTOOLS_SERVICE_NAME"] = "stream-processor"
os.environ["POWERTOOLS_METRICS_NAMESPACE"] = "IotPipeline"
