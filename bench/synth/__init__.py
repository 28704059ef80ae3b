"""What synthesizing the example costs, and what the same template costs when it is written by hand."""
