"""Invoking the function through the Lambda API, and telling apart how that can end.

An error of the function (it raised, or it timed out) comes with HTTP 200 and ``FunctionError``.
Everything else that is not an answer means that the function was not invoked, as far as the caller
can know: throttles, errors of the service, a connection that broke. Lambda retries those until the
records are too old (kinesis-on-failure-destination.html).
"""

from __future__ import annotations

import os
from typing import Any

import botocore.config
import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

from examples.iot_pipeline.local.emulator import CREDENTIAL, REGION, Endpoint
from examples.iot_pipeline.local.mapping_decisions import NotInvoked, Outcome
from examples.iot_pipeline.local.mapping_records import Batch, Response, event_of
from examples.iot_pipeline.local.mapping_responses import parse_response

THROTTLED = "TooManyRequestsException"
# A function that times out answers a moment after its timeout.
READ_TIMEOUT_MARGIN_SECONDS = 30


class Invoker:
    """One function, or one version or alias of it."""

    def __init__(self, lambda_: Any, function_arn: str, *, report_item_failures: bool) -> None:
        self._lambda = lambda_
        self._function_arn = function_arn
        self._report_item_failures = report_item_failures

    def invoke(self, batch: Batch) -> Outcome:
        """Invoke the function with a batch, once."""
        try:
            answer = self._lambda.invoke(
                FunctionName=self._function_arn,
                InvocationType="RequestResponse",
                Payload=event_of(batch.records).encode(),
            )
            payload = answer["Payload"].read()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response["ResponseMetadata"].get("HTTPStatusCode")
            return NotInvoked(str(error), throttled=code == THROTTLED or status == 429)
        except BotoCoreError as error:
            return NotInvoked(f"{type(error).__name__}: {error}")
        response = Response(
            request_id=answer["ResponseMetadata"].get("RequestId", ""),
            status_code=answer["StatusCode"],
            executed_version=answer.get("ExecutedVersion", "$LATEST"),
            function_error=answer.get("FunctionError"),
        )
        return parse_response(
            batch, response, payload, report_item_failures=self._report_item_failures
        )


def create_invoke_client(
    usual: Any, endpoint: Endpoint, *, timeout_seconds: float, connections: int
) -> Any:
    """A Lambda client that waits as long as the function may run, and never tries twice by itself.

    A retry inside the client would be an invocation that nobody counts. All else is as in `usual`.
    """
    config = botocore.config.Config(
        read_timeout=timeout_seconds + READ_TIMEOUT_MARGIN_SECONDS,
        retries={"total_max_attempts": 1},
        max_pool_connections=connections,
    )
    # As in Endpoint.client: the user's own configuration must not be seen.
    session = botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": (None, None, os.devnull, None),
            "credentials_file": (None, None, os.devnull, None),
            "ca_bundle": (None, None, None, None),
        }
    )
    return session.create_client(
        "lambda",
        region_name=REGION,
        endpoint_url=endpoint.url,
        verify=endpoint.authority,
        aws_access_key_id=CREDENTIAL,
        aws_secret_access_key=CREDENTIAL,
        config=usual.meta.config.merge(config),
    )
