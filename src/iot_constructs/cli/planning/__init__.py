"""The model of the ``plan`` command, in the order of the data flow.

All values are averages over a month of 730 hours. Quota usage is the average times ``peak``.

* **Devices** send messages at a constant interval, evenly distributed. With ``readings_per_message`` N, a message is a
  JSON array of N readings, and N times less frequent.
* **IoT Core** meters messages, rules and actions in increments of 5 KB, and connection minutes for every device. All
  devices stay connected. With Basic Ingest, the messages have no cost.
* **The stream** in on-demand mode has enough shards for twice the peak, and at least four: AWS documents that a stream
  accommodates twice its last peak, but not the number of shards. Two consumers (function and archive) read every
  record. Incoming data is metered in increments of 1 KB per record, which the model also uses for outgoing and retained
  data.
* **The function** has as many concurrent batches as shards times the parallelization factor. Lambda polls each shard
  once a second, and invokes the function when the batch is full or the batching window ends, which begins with the
  first poll that finds a record. `batches` has the calls of the processor for a batch.
* **The tables**: each reading is one item of the time-series table, and each device in a batch is one write to the
  device-state table. With ``device_state_interval``, the processor reads the states of a batch first, half a unit for
  each, and writes those that are older. Devices are evenly distributed over the concurrent batches.
* **Reads**: a query for a day's readings of each device a day, and a dashboard that reads the states of 1,000 devices
  every minute.
* **Provisioned tables** have the units of the peak divided by the target of auto scaling, all the time.
* **Storage** grows until the retention ends, and is estimated for the age of the pipeline: one year, or ``--age``. The
  archive keeps all records unless ``--archive-retention`` is set.
* **The archive**: Firehose meters every record in increments of 5 KB. It writes an object when the buffer size or the
  buffer interval is reached, with one buffer. S3 moves no objects under 128 KB to another class.
* **KMS**: one request every five minutes for each user of the stream and of each table, and one for each object. The
  key rotates once a year; the first and the second rotation are charged.
* **SNS, SQS**: no messages, because no failures occur.
* **CloudWatch, X-Ray**: alarms, dashboard and metrics of the example, and the alarms of auto scaling; two kilobytes of
  logs per invocation; one trace per second and 5 % of the rest, which is fixed for Lambda. The metrics of the event
  source mapping have no additional charge
  (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics.html).
* **An idle environment**, with 0 devices, has the same alarms, dashboard and key; the function emits no metrics.

Not included: free tiers, discounts, taxes, support, data transfer out of AWS, queries of the archive, access logs and
failures.

`prices` and `quotas` have a source for each value. `assumptions` has the values without one.
"""

# Modules in this package import neither boto3 nor aws_cdk: the command works without them.

MONTH_SECONDS = 730 * 3600
KB = 1024
MB = 1024 * KB
GB = 1024 * MB
DAY_SECONDS = 86_400
YEAR_SECONDS = 365 * DAY_SECONDS
