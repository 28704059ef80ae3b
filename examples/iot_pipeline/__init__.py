"""The whole telemetry pipeline as one CDK app, and its local run."""
