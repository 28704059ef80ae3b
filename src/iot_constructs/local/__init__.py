"""Runs a CDK app in a local AWS emulator, deployed with the CDK CLI: ``iot-constructs local``.

Start with `run.py`. The docstring of each module describes what AWS does, what the emulator does not support,
and how the module replaces it.
"""
