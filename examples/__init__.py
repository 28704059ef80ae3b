"""Runnable examples of the library."""
