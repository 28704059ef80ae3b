"""Functions that fail until an environment variable changes, and one that fails for poison records."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_

from iot_constructs import (
    MonitoredStream,
    SecureDataBucket,
    StreamProcessor,
    SuffixedStack,
    TimeSeriesTable,
)

CODE = """
import base64, os, boto3

def handler(event, context):
    texts = [base64.b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]
    if os.environ["BROKEN"] == "yes" or any("/poison" in text for text in texts):
        raise RuntimeError("simulated failure")
    table = boto3.client("dynamodb")
    for data in texts:
        device, number = data.split("/")
        item = {"deviceId": {"S": device}, "timestamp": {"N": number}}
        table.put_item(TableName=os.environ["TABLE"], Item=item)
    return {"batchItemFailures": []}
"""

app = cdk.App()
stack = SuffixedStack(app, "Failing")
table = TimeSeriesTable(stack, "Readings")


def add_route(
    route: str, *, broken: bool, on_failure: SecureDataBucket | None = None, **settings: Any
) -> None:
    stream = MonitoredStream(
        stack, f"Stream{route}", stream_name=f"failing-{route}", name_prefix=route
    )
    processor = StreamProcessor(
        stack,
        f"Processor{route}",
        stream=stream,
        code=lambda_.Code.from_inline(CODE),
        handler="index.handler",
        environment={"BROKEN": "yes" if broken else "no", "TABLE": table.table_name},
        function_name=f"failing-{route}",
        dlq_name=f"failing-{route}",
        on_failure=on_failure,
        max_batching_window=cdk.Duration.seconds(0),
        **settings,
    )
    table.grant_write_data(processor)
    assert processor.dlq_queue is not None
    outputs = {
        "Stream": stream.stream_name,
        "Function": processor.function.function_name,
        "Queue": processor.dlq_queue.queue_url,
    }
    for name, value in outputs.items():
        cdk.CfnOutput(stack, f"{route}{name}", value=value)


# Every record fails, so bisecting and retries would only take time.
quick: dict[str, Any] = {"retry_attempts": 1, "bisect_batch_on_error": False, "batch_size": 10}
add_route("Sns", broken=True, **quick)
bucket = SecureDataBucket(stack, "Failed", bucket_name="failed")
add_route("S3", broken=True, on_failure=bucket, **quick)
add_route("Poison", broken=False)
cdk.CfnOutput(stack, "TableName", value=table.table_name)
app.synth()
