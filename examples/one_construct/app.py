import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_

from iot_constructs import MonitoredStream, PipelineAlarms, StreamProcessor, SuffixedStack

app = cdk.App()
stack = SuffixedStack(app, "Telemetry", environment_suffix="dev")
stream = MonitoredStream(stack, "Stream")
code = lambda_.Code.from_inline("def handler(event, context): return {'batchItemFailures': []}")
processor = StreamProcessor(stack, "Processor", stream=stream, code=code, handler="index.handler")
PipelineAlarms(stack, "Alarms", stream=stream, processor=processor)
app.synth()
