"""Two processors that fail until they are told not to: one per route of a failed batch."""

from __future__ import annotations

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
    if os.environ["BROKEN"] == "yes":
        raise RuntimeError("the cause that somebody has to remove")
    table = boto3.client("dynamodb")
    for record in event["Records"]:
        data = base64.b64decode(record["kinesis"]["data"]).decode()
        device, number = data.split("/")
        item = {"deviceId": {"S": device}, "timestamp": {"N": number}}
        table.put_item(TableName=os.environ["TABLE"], Item=item)
    return {"batchItemFailures": []}
"""

app = cdk.App()
stack = SuffixedStack(app, "Failing")
table = TimeSeriesTable(stack, "Readings")
for route in ("Sns", "S3"):
    stream = MonitoredStream(
        stack, f"Stream{route}", stream_name=f"failing-{route}", alarm_name_prefix=route
    )
    bucket = SecureDataBucket(stack, "Failed", bucket_name="failed") if route == "S3" else None
    processor = StreamProcessor(
        stack,
        f"Processor{route}",
        stream=stream,
        code=lambda_.Code.from_inline(CODE),
        handler="index.handler",
        environment={"BROKEN": "yes", "TABLE": table.table_name},
        function_name=f"failing-{route}",
        dlq_name=f"failing-{route}",
        failed_batches=bucket,
        retry_attempts=1,
        bisect_batch_on_error=False,  # every record fails: halves would only take longer
        batch_size=10,
        max_batching_window=cdk.Duration.seconds(0),
    )
    table.grant_write_data(processor.role)
    assert processor.dlq_queue is not None
    outputs = {
        "Stream": stream.stream_name,
        "Function": processor.function_name,
        "Queue": processor.dlq_queue.queue_url,
    }
    for name, value in outputs.items():
        cdk.CfnOutput(stack, f"{route}{name}", value=value)
cdk.CfnOutput(stack, "TableName", value=table.table_name)
app.synth()
