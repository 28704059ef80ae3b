"""Starts any CDK app in Python with a quicker engine: ``python3 -m iot_constructs.quick_start app.py``.

Put it into cdk.json: ``"app": "python3 -m iot_constructs.quick_start app.py"``. Templates are the same to the byte and
CDK validates them as before. It changes how the Node process behind jsii is started, and nothing of the app:

* One thread and more room for the engine's garbage collection: V8's helper threads cost about as much CPU again as the
  synth, which is one thread waiting for another, and save no time.
* CDK's validator is made while Python imports the modules of aws-cdk-lib, and not at the end of the synth. An app that
  brings a validator of its own (``CorrectedDefaults.add_to``) makes two then, and is better off without quick_start.
* Node keeps what it has compiled of aws-cdk-lib (https://nodejs.org/api/module.html#module-compile-cache) in
  ``~/.cache/iot-constructs``, about 5 MB for each version of aws-cdk-lib. Deleting it costs one slower start.
* Python's garbage collector runs less often: modules of aws-cdk-lib are made of hundreds of thousands of objects, all
  of which stay.

What you have set of NODE_OPTIONS and NODE_COMPILE_CACHE stays; NODE_DISABLE_COMPILE_CACHE=1 is respected by Node.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_PRELOADED: Final = Path(__file__).with_name("_quick_engine.cjs")
_OBJECTS_BETWEEN_COLLECTIONS: Final = 100_000
"""Python's own value is 700 (2000 since 3.13)."""
WRONG_USAGE: Final = 2


def quick_environment(current: Mapping[str, str]) -> dict[str, str]:
    """The variables for jsii's Node process, in addition to ``current`` or in place of what is there.

    Args:
        current: the environment as it is.
    """
    # Node reads quotes in NODE_OPTIONS as JSON does, backslashes of Windows included.
    preload = f"--require {json.dumps(str(_PRELOADED), ensure_ascii=False)}"
    options = current.get("NODE_OPTIONS", "")
    return {
        "NODE_OPTIONS": options if preload in options else f"{options} {preload}".strip(),
    }


def main(arguments: Sequence[str]) -> int:
    """Run the program that the first argument names, as ``python3 program ...`` would."""
    if not arguments or arguments[0].startswith("-") or not Path(arguments[0]).is_file():
        said = arguments[0] if arguments else "nothing"
        print(
            f"{said} is no program: type python3 -m iot_constructs.quick_start app.py",
            file=sys.stderr,
        )
        return WRONG_USAGE
    if "aws_cdk" in sys.modules:
        raise RuntimeError("the engine runs already: quick_start has to come before aws_cdk")
    os.environ.update(quick_environment(os.environ))
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
    program = arguments[0]
    sys.argv = list(arguments)
    sys.path[0] = str(Path(program).resolve().parent)
    runpy.run_path(program, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
