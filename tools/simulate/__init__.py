"""The whole pipeline in one process, in virtual time, under every fault: every record is counted."""
