"""The metrics and dimensions that AWS emits for the services of a telemetry pipeline.

An alarm on another metric or other dimensions never receives data. It stays in INSUFFICIENT_DATA, or in OK if missing
data is treated as not breaching.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

DimensionNames = frozenset[str]

_DOCS: Final = "https://docs.aws.amazon.com/"
_NEAR: Final = 0.9  # similarity to a known name: a misspelling rather than a new metric


@dataclass(frozen=True)
class Emitted:
    """A metric with its sets of dimensions, and its documentation."""

    dimension_sets: frozenset[DimensionNames]
    page: str

    def has(self, dimensions: Collection[str]) -> bool:
        """Return whether AWS emits it with exactly these dimensions: CloudWatch does not aggregate over them."""
        return frozenset(dimensions) in self.dimension_sets


@dataclass(frozen=True)
class Service:
    """The metrics of a namespace.

    Attributes:
        page: the documentation.
        metrics: name -> sets of dimensions. A name that ends in ``*`` is a prefix.
        complete: whether all names are listed. Otherwise, only a misspelling of a known name is unknown.
    """

    page: str
    metrics: Mapping[str, frozenset[DimensionNames]]
    complete: bool


def _sets(*dimension_sets: str) -> frozenset[DimensionNames]:
    """Each argument is a set of dimension names, separated by spaces; an empty one is no dimensions."""
    return frozenset(frozenset(names.split()) for names in dimension_sets)


def _metrics(
    *groups: tuple[frozenset[DimensionNames], str],
) -> dict[str, frozenset[DimensionNames]]:
    return {name: sets for sets, names in groups for name in names.split()}


_STREAM = _sets("StreamName")
_SHARD = _sets("StreamName ShardId")
_STREAM_AND_SHARD = _STREAM | _SHARD
_CONSUMER = _sets("StreamName ConsumerName")
_KINESIS = Service(
    _DOCS + "streams/latest/dev/monitoring-with-cloudwatch.html",
    _metrics(
        (
            _STREAM,
            "GetRecords.Bytes GetRecords.IteratorAge GetRecords.IteratorAgeMilliseconds GetRecords.Latency "
            "GetRecords.Records GetRecords.Success PutRecord.Bytes PutRecord.Latency PutRecord.Success "
            "PutRecords.Bytes PutRecords.Latency PutRecords.Records PutRecords.Success PutRecords.TotalRecords "
            "PutRecords.SuccessfulRecords PutRecords.FailedRecords PutRecords.ThrottledRecords",
        ),
        (
            _CONSUMER,
            "SubscribeToShard.RateExceeded SubscribeToShard.Success SubscribeToShardEvent.Success "
            "SubscribeToShardEvent.Bytes SubscribeToShardEvent.MillisBehindLatest SubscribeToShardEvent.Records",
        ),
        (
            _STREAM_AND_SHARD,
            "IncomingBytes IncomingRecords ReadProvisionedThroughputExceeded WriteProvisionedThroughputExceeded",
        ),
        (_SHARD, "IteratorAgeMilliseconds OutgoingBytes OutgoingRecords"),
    ),
    complete=True,
)

_FUNCTION = _sets(
    "", "FunctionName", "FunctionName Resource", "FunctionName Resource ExecutedVersion"
)
_MAPPING = _sets("EventSourceMappingUUID")
_LAMBDA = Service(
    _DOCS + "lambda/latest/dg/monitoring-metrics-types.html",
    _metrics(
        (
            _FUNCTION,
            "Invocations Errors DeadLetterErrors DestinationDeliveryFailures Throttles OversizedRecordCount "
            "ProvisionedConcurrencyInvocations ProvisionedConcurrencySpilloverInvocations "
            "RecursiveInvocationsDropped SignatureValidationErrors Duration PostRuntimeExtensionsDuration "
            "IteratorAge OffsetLag ConcurrentExecutions ProvisionedConcurrentExecutions "
            "ProvisionedConcurrencyUtilization AsyncEventsReceived AsyncEventAge AsyncEventsDropped "
            "UrlRequestCount UrlRequestLatency Url4xxCount Url5xxCount",
        ),
        (_sets(""), "UnreservedConcurrentExecutions ClaimedAccountConcurrency"),
        (
            _MAPPING,
            "PolledEventCount FilteredOutEventCount InvokedEventCount FailedInvokeEventCount DroppedEventCount "
            "OnFailureDestinationDeliveredEventCount DeletedEventCount CommittedEventCount ProvisionedPollers "
            "EventPollerUnit EventPollerThroughputInBytes PollingErrorCount InvokeErrorCount "
            "SchemaRegistryErrorCount MaxOffsetLag SumOffsetLag",
        ),
    ),
    complete=False,
)

_TABLE = _sets("TableName")
_TABLE_AND_INDEX = _TABLE | _sets("TableName GlobalSecondaryIndexName")
_OPERATION = _sets("TableName Operation")
_OPERATION_AND_STREAM = _OPERATION | _sets("TableName Operation StreamLabel")
_DYNAMODB = Service(
    _DOCS + "amazondynamodb/latest/developerguide/metrics-dimensions.html",
    _metrics(
        # Metrics of the account.
        (
            _sets(""),
            "UserErrors AccountMaxReads AccountMaxTableLevelReads AccountMaxTableLevelWrites AccountMaxWrites "
            "AccountProvisionedReadCapacityUtilization AccountProvisionedWriteCapacityUtilization "
            "MaxProvisionedTableReadCapacityUtilization MaxProvisionedTableWriteCapacityUtilization",
        ),
        (_TABLE, "ConditionalCheckFailedRequests TimeToLiveDeletedItemCount TransactionConflict"),
        (
            _TABLE_AND_INDEX,
            "ConsumedReadCapacityUnits ConsumedWriteCapacityUnits ProvisionedReadCapacityUnits "
            "ProvisionedWriteCapacityUnits OnDemandMaxReadRequestUnits OnDemandMaxWriteRequestUnits "
            "ReadThrottleEvents WriteThrottleEvents "
            "ReadProvisionedThroughputThrottleEvents WriteProvisionedThroughputThrottleEvents "
            "ReadMaxOnDemandThroughputThrottleEvents WriteMaxOnDemandThroughputThrottleEvents "
            "ReadKeyRangeThroughputThrottleEvents WriteKeyRangeThroughputThrottleEvents "
            "ReadAccountLimitThrottleEvents WriteAccountLimitThrottleEvents",
        ),
        (
            _sets("TableName GlobalSecondaryIndexName"),
            "OnlineIndexConsumedWriteCapacity OnlineIndexPercentageProgress OnlineIndexThrottleEvents",
        ),
        (_OPERATION, "ThrottledRequests ReturnedItemCount FaultInjectionServiceInducedErrors"),
        (
            _OPERATION_AND_STREAM,
            "SuccessfulRequestLatency SystemErrors ReturnedBytes ReturnedRecordsCount",
        ),
        (_sets("TableName ReceivingRegion"), "PendingReplicationCount ReplicationLatency"),
        (
            _sets("TableName DelegatedOperation"),
            "AgeOfOldestUnreplicatedRecord ConsumedChangeDataCaptureUnits FailedToReplicateRecordCount "
            "ThrottledPutRecordCount",
        ),
    ),
    complete=True,
)

_DELIVERY = _sets("DeliveryStreamName")
_FIREHOSE = Service(
    _DOCS + "firehose/latest/dev/monitoring-with-cloudwatch-metrics.html",
    _metrics(
        (
            _DELIVERY,
            "DeliveryToS3.Bytes DeliveryToS3.DataFreshness DeliveryToS3.ObjectCount DeliveryToS3.Records "
            "DeliveryToS3.Success BackupToS3.Bytes BackupToS3.DataFreshness BackupToS3.Records "
            "BackupToS3.Success DeliveryToAmazonOpenSearchService.* DeliveryToAmazonOpenSearchServerless.* "
            "DeliveryToElasticsearch.* DeliveryToHttpEndpoint.* DeliveryToIceberg.* DeliveryToRedshift.* "
            "DeliveryToSnowflake.* DeliveryToSplunk.* DataReadFromKinesisStream.Bytes "
            "DataReadFromKinesisStream.Records DataReadFromSource.* KinesisMillisBehindLatest "
            "ThrottledDescribeStream ThrottledGetRecords ThrottledGetShardIterator SourceThrottled.Delay "
            "KafkaOffsetLag FailedValidation.Bytes FailedValidation.Records IncomingBytes IncomingRecords "
            "IncomingPutRequests BytesPerSecondLimit RecordsPerSecondLimit PutRequestsPerSecondLimit "
            "ThrottledRecords ActivePartitionsLimit PartitionCount PartitionCountExceeded "
            "PerPartitionThroughput JQProcessing.Duration ExecuteProcessing.Duration "
            "ExecuteProcessing.Success SucceedProcessing.Bytes SucceedProcessing.Records "
            "SucceedConversion.Bytes SucceedConversion.Records FailedConversion.Bytes FailedConversion.Records "
            "OutputDecompressedBytes.* OutputDecompressedRecords.* KMSKeyAccessDenied KMSKeyDisabled "
            "KMSKeyInvalidState KMSKeyNotFound",
        ),
        (
            _DELIVERY | _sets(""),
            "DescribeDeliveryStream.Latency DescribeDeliveryStream.Requests ListDeliveryStreams.Latency "
            "ListDeliveryStreams.Requests PutRecord.Bytes PutRecord.Latency PutRecord.Requests "
            "PutRecordBatch.Bytes PutRecordBatch.Latency PutRecordBatch.Records PutRecordBatch.Requests "
            "UpdateDeliveryStream.Latency UpdateDeliveryStream.Requests",
        ),
    ),
    complete=False,
)

_TOPIC = _sets("TopicName")
_SMS = _sets("", "PhoneNumber", "Country", "SMSType", "SMSType Country")
_SNS = Service(
    _DOCS + "sns/latest/dg/sns-monitoring-using-cloudwatch.html",
    _metrics(
        (
            _TOPIC,
            "NumberOfMessagesPublished PublishSize NumberOfNotificationsFilteredOut "
            "NumberOfNotificationsFilteredOut-InvalidAttributes "
            "NumberOfNotificationsFilteredOut-NoMessageAttributes "
            "NumberOfNotificationsFilteredOut-InvalidMessageBody NumberOfNotificationsFilteredOut-MessageBody "
            "NumberOfNotificationsFilteredOut-MessageAttributes "
            "NumberOfNotificationsRedrivenToDlq NumberOfNotificationsFailedToRedriveToDlq",
        ),
        (
            _TOPIC
            | _sets(
                "Application", "Application Platform", "Platform", "PhoneNumber", "SMSType Country"
            ),
            "NumberOfNotificationsDelivered NumberOfNotificationsFailed",
        ),
        (_SMS, "SMSMonthToDateSpentUSD SMSSuccessRate PhoneNumberDirect"),
    ),
    complete=True,
)

_SQS = Service(
    _DOCS + "AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html",
    _metrics(
        (
            _sets("QueueName"),
            "ApproximateAgeOfOldestMessage ApproximateNumberOfGroupsWithInflightMessages "
            "ApproximateNumberOfMessagesDelayed ApproximateNumberOfMessagesNotVisible "
            "ApproximateNumberOfMessagesVisible ApproximateNumberOfNoisyGroups "
            "ApproximateNumberOfMessagesVisibleInQuietGroups "
            "ApproximateNumberOfMessagesNotVisibleInQuietGroups "
            "ApproximateNumberOfMessagesDelayedInQuietGroups ApproximateAgeOfOldestMessageInQuietGroups "
            "NumberOfDeduplicatedSentMessages NumberOfEmptyReceives NumberOfMessagesDeleted "
            "NumberOfMessagesReceived NumberOfMessagesSent SentMessageSize",
        ),
    ),
    complete=True,
)

_RULE = _sets("RuleName")
# The page lists both dimensions, but not their combinations: all are accepted.
_ACTION = _sets("RuleName ActionType", "RuleName", "ActionType")
_PROTOCOL = _sets("Protocol")
_IOT = Service(
    _DOCS + "iot/latest/developerguide/metrics_dimensions.html",
    _metrics(
        (
            _RULE,
            "ParseError RuleMessageThrottled RuleEvaluationThrottled RuleNotFound TopicMatch",
        ),
        (_sets("") | _RULE, "RulesExecuted"),
        (
            _ACTION,
            "Success Failure ErrorActionSuccess ErrorActionFailure HttpCode_Other HttpCode_4XX HttpCode_5XX "
            "HttpInvalidUrl HttpRequestTimeout HttpUnknownHost",
        ),
        (
            _PROTOCOL,
            "Connect.AuthError Connect.ClientError Connect.ClientIDThrottle Connect.ServerError Connect.Success "
            "Connect.Throttle Ping.Success PublishIn.AuthError PublishIn.ClientError PublishIn.ServerError "
            "PublishIn.Success PublishIn.Throttle PublishOut.AuthError PublishOut.ClientError "
            "PublishOut.Success PublishOut.Throttle PublishRetained.AuthError PublishRetained.ServerError "
            "PublishRetained.Success PublishRetained.Throttle Subscribe.AuthError Subscribe.ClientError "
            "Subscribe.ServerError Subscribe.Success Subscribe.Throttle Unsubscribe.ClientError "
            "Unsubscribe.ServerError Unsubscribe.Success Unsubscribe.Throttle DeleteThingShadow.Accepted "
            "GetThingShadow.Accepted ListThingShadow.Accepted UpdateThingShadow.Accepted",
        ),
    ),
    complete=False,
)

_REQUEST = _sets("BucketName FilterId")
_S3 = Service(
    _DOCS + "AmazonS3/latest/userguide/metrics-dimensions.html",
    _metrics(
        (_sets("BucketName StorageType"), "BucketSizeBytes NumberOfObjects"),
        (
            _REQUEST,
            "AllRequests GetRequests PutRequests DeleteRequests HeadRequests PostRequests SelectRequests "
            "SelectBytesScanned SelectBytesReturned ListRequests BytesDownloaded BytesUploaded 4xxErrors "
            "5xxErrors FirstByteLatency TotalRequestLatency",
        ),
        (
            _sets("SourceBucket DestinationBucket RuleId"),
            "ReplicationLatency BytesPendingReplication OperationsPendingReplication OperationsFailedReplication",
        ),
    ),
    complete=False,
)

_API = (
    "OperationName",
    "OperationName ResourceName",
    "ApiKeyName OperationName",
    "ApiKeyName OperationName ResourceName",
)
_LOCATION = Service(
    _DOCS + "location/latest/developerguide/cloudwatch.html",
    _metrics(
        (
            _sets(*_API, *(f"{names} OperationVersion" for names in _API)),
            "CallCount ErrorCount SuccessCount CallLatency",
        )
    ),
    complete=True,
)

# CloudWatch Logs extracts them from the log of a TelemetryProcessor's function.
_PROCESSOR = Service(
    _DOCS + "AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Lambda.html",
    _metrics(
        (
            _sets("FunctionName"),
            "RecordsStored RecordsRejected RecordsFailed DuplicateReadings DeviceIdMismatches",
        )
    ),
    complete=False,
)

SERVICES: Final[Mapping[str, Service]] = {
    "AWS/DynamoDB": _DYNAMODB,
    "AWS/Firehose": _FIREHOSE,
    "AWS/IoT": _IOT,
    "AWS/Kinesis": _KINESIS,
    "AWS/Lambda": _LAMBDA,
    "AWS/Location": _LOCATION,
    "AWS/S3": _S3,
    "AWS/SNS": _SNS,
    "AWS/SQS": _SQS,
    "IotConstructs": _PROCESSOR,
}


def emitted(namespace: str, metric: str) -> Emitted | None:
    """Return the metric of this name; None if the catalogue does not contain it."""
    service = SERVICES.get(namespace)
    if service is None:
        return None
    family = f"{metric.partition('.')[0]}.*"
    found = service.metrics.get(metric) or service.metrics.get(family)
    return Emitted(found, service.page) if found else None


def is_unknown_metric(namespace: str, metric: str) -> bool:
    """Return whether AWS certainly emits no metric of this name."""
    service = SERVICES.get(namespace)
    if service is None or emitted(namespace, metric) is not None:
        return False
    return service.complete or closest_metric_name(namespace, metric) is not None


def closest_metric_name(namespace: str, metric: str) -> str | None:
    """Return the most similar metric name."""
    service = SERVICES.get(namespace)
    if service is None:
        return None
    lowered = {name.lower(): name for name in service.metrics if not name.endswith("*")}
    found = get_close_matches(metric.lower(), lowered, n=1, cutoff=_NEAR)
    return lowered[found[0]] if found else None
