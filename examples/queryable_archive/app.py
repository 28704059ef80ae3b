"""Every raw record in S3, and a table over it that Athena can query."""

from __future__ import annotations

import aws_cdk as cdk
from constructs import Construct

from iot_constructs import (
    MonitoredStream,
    QueryableArchive,
    SecureDataBucket,
    StreamArchive,
    SuffixedStack,
)


class ArchiveStack(SuffixedStack):
    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id)
        data = SecureDataBucket(self, "Data")
        StreamArchive(self, "Archive", stream=MonitoredStream(self, "Stream"), bucket=data)

        archive = QueryableArchive(
            self,
            "Queries",
            bucket=data,
            # What your devices send. Without it, the table has one column with the whole payload.
            columns={"timestamp": "double", "temperature": "double"},
        )
        archive.add_saved_query(
            "WarmestHours",
            query_name="warmest-hours",
            sql=f"SELECT year, month, day, hour, max(temperature) AS warmest, count(*) AS readings\n"
            f"FROM {archive.table_reference}\n"
            f"WHERE {archive.arrived_in_last(cdk.Duration.days(3))}\n"
            "GROUP BY year, month, day, hour\n"
            "ORDER BY warmest DESC",
            description="The hours of the last three days, the warmest first",
        )
        cdk.CfnOutput(self, "WorkGroupName", value=archive.workgroup_name)
        cdk.CfnOutput(self, "TableReference", value=archive.table_reference)


if __name__ == "__main__":
    app = cdk.App()
    ArchiveStack(app, "Telemetry")
    app.synth()
