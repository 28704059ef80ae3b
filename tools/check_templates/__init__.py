"""Runs ``iot-constructs check`` on every template of a folder, and measures it.

``python -m tools.check_templates FOLDER [--labels FILE] [--jobs N] [--timeout SECONDS] [--command "..."]``

Every file below FOLDER that looks like a CloudFormation template is checked on its own, as from a shell. Its line has
the seconds, the peak memory in MiB, the number of findings and of not-judged entries, the exit code and the problem:
a traceback, not done in time, an unknown exit code or output, or called clean although nothing in it was examined or a
part of it cannot be (a macro, an include, a module, a nested stack elsewhere). Problems make the exit code 1.
The memory is the operating system's count for the process and its children. It is never less than what the harness
itself had when it started the process (about 20 MiB).

``--labels`` compares with a file like tests/rules/sample/labels.json, whose templates are found by their SHA-256, so
the folder may be laid out in any way: fetch each repository of the file at its commit. Precision is the part of the
reported findings that is expected, recall the part of the expected findings that is reported; each miss and each extra
is listed. A label with a number expects so many findings, one without a number at least one.
"""
