"""Simulates a Kinesis stream, its Lambda function, and AWS services in one process, in virtual time."""
