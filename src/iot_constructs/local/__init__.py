"""Runs the pipeline in a local AWS emulator, deployed with the CDK CLI.

Start with `demo.py`. The docstring of each module describes what AWS does, what the emulator does
not support, and how the module replaces it.
"""
