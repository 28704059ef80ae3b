"""The functions that ours is compared with."""
