"""Invokes the function and classifies the result.

A function error (an exception or a timeout) has HTTP status 200 and ``FunctionError``. Throttling,
service errors, and connection errors count as "not invoked". Lambda retries those until the records
exceed the maximum age (lambda/latest/dg/kinesis-on-failure-destination.html).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.config
from botocore.exceptions import BotoCoreError, ClientError

from iot_constructs.local.mapping_decisions import NotInvoked, Outcome
from iot_constructs.local.mapping_records import Batch, Response, invocation_payload
from iot_constructs.local.mapping_responses import parse_response

if TYPE_CHECKING:
    from iot_constructs.local.emulator import Endpoint

THROTTLED = "TooManyRequestsException"
# The response to a timeout arrives after the timeout.
READ_TIMEOUT_MARGIN_SECONDS = 30


class Invoker:
    """Invokes a function, a version, or an alias."""

    def __init__(self, lambda_: Any, function_arn: str, *, report_item_failures: bool) -> None:
        self._lambda = lambda_
        self._function_arn = function_arn
        self._report_item_failures = report_item_failures

    def invoke(self, batch: Batch) -> Outcome:
        """Invoke the function with a batch, once."""
        try:
            result = self._lambda.invoke(
                FunctionName=self._function_arn,
                InvocationType="RequestResponse",
                Payload=invocation_payload(batch.records).encode(),
            )
            payload = result["Payload"].read()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            status = error.response["ResponseMetadata"].get("HTTPStatusCode")
            return NotInvoked(str(error), throttled=code == THROTTLED or status == 429)
        except BotoCoreError as error:
            return NotInvoked(f"{type(error).__name__}: {error}")
        response = Response(
            request_id=result["ResponseMetadata"].get("RequestId", ""),
            status_code=result["StatusCode"],
            executed_version=result.get("ExecutedVersion", "$LATEST"),
            function_error=result.get("FunctionError"),
        )
        return parse_response(
            batch, response, payload, report_item_failures=self._report_item_failures
        )


def create_invoke_client(endpoint: Endpoint, *, timeout_seconds: float, connections: int) -> Any:
    """Return a Lambda client that waits for the function's timeout and never retries.

    A retry in the client would be an invocation that the mapping does not count.
    """
    config = botocore.config.Config(
        read_timeout=timeout_seconds + READ_TIMEOUT_MARGIN_SECONDS,
        retries={"total_max_attempts": 1},
        max_pool_connections=connections,
    )
    return endpoint.client("lambda", config=config)
