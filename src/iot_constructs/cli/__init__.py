"""The operators' command line. It needs boto3, which the rest of the package does not: the extra `ops`."""
