"""The pipeline, deployed with the real CDK CLI into an AWS emulator on this machine.

Start with `demo.py`; every other module does one job for it and says in its docstring what AWS
does there, what the emulator lacks and what stands in for it.
"""
