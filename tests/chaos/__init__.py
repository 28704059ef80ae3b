"""The example under faults, with one redrive at the end: every record is counted."""
