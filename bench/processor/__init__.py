"""Our stream processor against the usual ones: calls, write units, time, cold start."""
