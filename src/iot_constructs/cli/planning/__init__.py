"""A pipeline of these constructs on paper, in the order of the data.

Everything is an average over a month of 730 hours; limits are held against the average times the peak.

* **Devices** each send one message every ``every`` seconds, spread evenly. With ``readings_per_message`` N a message is
  N times as large and comes N times less often. The processor stores one message as one item: what reads the table has
  to look into it.
* **IoT Core** bills a message, a rule and an action for every 5 KB begun, and a minute of connection for every device,
  all of which stay connected.
* **The stream**, on demand, has as many shards as carry twice the peak, and four at least: AWS says that it takes
  double its last peak, not how many shards that is. Two consumers (function and archive) read every record. What comes
  in is billed in steps of 1 KB a record; the same bytes are taken for what goes out and what is kept.
* **The function** works in lanes, shards times parallelization factor. A lane's batch is full, or its window is over:
  ``min(batch size, records in a window)`` records, at least one. `batches` has what the processor does with a batch.
* **The tables**: each message is one item of the time-series table; each device of a batch is one write of the
  device-state table. A lane has its share of the devices, and a device that sends less than once a batch is in it once.
* **Storage** is what lies there after one retention of the readings, from when on as much expires as comes in. The
  archive's bucket keeps everything; the plan counts the same time.
* **The archive**: Firehose bills every record in steps of 5 KB; an object is written when the buffer is full or its
  interval is over, whichever is first, by one buffer.
* **KMS**: a call every five minutes for each user of the stream and each table, and one for each object.
* **SNS, SQS**: nothing is sent while nothing fails.
* **CloudWatch, X-Ray**: alarms, dashboard and metrics of the example; two kilobytes of log an invocation; one trace a
  second and 5 % of the rest, which Lambda does not let you change.

Not counted: free tiers, discounts, taxes, support, data leaving AWS, reads of the tables, queries, access logs, and
whatever happens when something fails.

`prices` and `quotas` have each figure with its source, `assumptions` what has none.
"""

# Nothing in this package imports boto3 or aws_cdk: the command runs where neither is.

MONTH_SECONDS = 730 * 3600
KB = 1024
MB = 1024 * KB
GB = 1024 * MB
DAY_SECONDS = 86_400
