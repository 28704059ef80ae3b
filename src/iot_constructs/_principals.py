"""Services of AWS as principals. They do not change, so the same one serves every statement that names it."""

from __future__ import annotations

from functools import lru_cache

from aws_cdk import aws_iam as iam


def service_of_account(service: str, account: str) -> iam.ServicePrincipal:
    """A service while it works for this account, and for no other."""
    return service_where(service, "aws:SourceAccount", account)


@lru_cache
def service_where(service: str, key: str, value: str) -> iam.ServicePrincipal:
    """A service while the condition key has this value."""
    return iam.ServicePrincipal(service, conditions={"StringEquals": {key: value}})
