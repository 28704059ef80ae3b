"""What synthesizing the example costs, beside its peers."""
