"""A model of how CloudFormation creates, rolls back and deletes a stack, by the rules that AWS documents.

It is not AWS: it has one account and region, and knows of a resource only its name, its needs and what stands against
its deletion. Operations have the names and parameters of boto3. The rules, on docs.aws.amazon.com:

* The creation of a resource that imports a value fails: that is how the tests inject an error.
* A name is taken once (AWSCloudFormation/latest/TemplateReference/aws-properties-name.html).
* ``Retain`` keeps a resource, ``RetainExceptOnCreate`` except in the rollback of the operation that created it
  (AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html).
* Every independent path is created until its first failure; with ``DisableRollback`` the stack keeps what was created,
  and an update creates what is missing (AWSCloudFormation/latest/UserGuide/stack-failure-options.html). Without it, the
  model rolls back from the same point, the worst case.
* A stack with termination protection is not deleted (AWSCloudFormation/latest/UserGuide/using-cfn-protect-stacks.html),
  and one in ROLLBACK_COMPLETE or ROLLBACK_FAILED is only deleted
  (AWSCloudFormation/latest/UserGuide/view-stack-events.html).
* RollbackStack with ``RetainExceptOnCreate`` deletes what says ``Retain``, too
  (AWSCloudFormation/latest/APIReference/API_RollbackStack.html).
* A protected table is not deleted, nor one that is not ACTIVE
  (amazondynamodb/latest/developerguide/WorkingWithTables.Basics.html, .../APIReference/API_DeleteTable.html).
* A bucket with objects is not deleted (AmazonS3/latest/API/API_DeleteBucket.html).
* A key is deleted after a waiting period (kms/latest/APIReference/API_ScheduleKeyDeletion.html).

Assumed, because no page states it: while a resource cannot be deleted, what it needs is not deleted.
"""

from __future__ import annotations

import graphlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from botocore.exceptions import ClientError

from tests.synth_support import Json, physical_names

TABLE, BUCKET, KEY = "AWS::DynamoDB::GlobalTable", "AWS::S3::Bucket", "AWS::KMS::Key"
EMPTIES_BUCKET = "Custom::S3AutoDeleteObjects"


@dataclass(eq=False)
class Resource:
    """A resource of the account."""

    type: str
    physical_id: str
    body: Json
    needs: dict[str, Resource]
    protected: bool = False
    objects: dict[str, Any] = field(default_factory=dict)
    state: str = "ACTIVE"


@dataclass
class Stack:
    """A stack, and the resources that belong to it by their logical id, in the order of their creation."""

    name: str
    id: str
    template: Json = field(default_factory=lambda: {"Resources": {}})
    status: str = "REVIEW_IN_PROGRESS"
    protected: bool = False
    resources: dict[str, Resource] = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)

    def log(self, logical_id: str, type: str, status: str, physical_id: str = "") -> None:
        event = {"LogicalResourceId": logical_id, "ResourceType": type, "ResourceStatus": status}
        self.events.insert(0, {**event, "PhysicalResourceId": physical_id})


class Model:
    """An account: the clients of its services are the model itself."""

    def __init__(self) -> None:
        self.resources: list[Resource] = []
        self._stacks: list[Stack] = []
        self._numbers = itertools.count(1)

    def client(self, service: str) -> Model:
        return self

    def can_paginate(self, operation: str) -> bool:
        return False

    def outside_stacks(self) -> list[Resource]:
        """What belongs to no stack, apart from keys that are being deleted."""
        owned = [one for stack in self._stacks for one in stack.resources.values()]
        return [one for one in self.resources if one not in owned and one.state == "ACTIVE"]

    def create_change_set(self, **request: Any) -> Json:
        if request["ChangeSetType"] == "CREATE":
            name = request["StackName"]
            self._stacks.append(Stack(name, f"arn:stack/{name}/{next(self._numbers)}"))
        stack = self._stack(request["StackName"])
        if stack.status not in ("REVIEW_IN_PROGRESS", "CREATE_FAILED", "UPDATE_FAILED"):
            _error("ValidationError", f"stack is in {stack.status} and cannot be updated")
        *_, bucket, key = request["TemplateURL"].split("/")
        stack.template = json.loads(self._find(BUCKET, bucket).objects[key])
        return {}

    def describe_change_set(self, **request: Any) -> Json:
        return {"Status": "CREATE_COMPLETE"}

    def execute_change_set(self, **request: Any) -> Json:
        stack = self._stack(request["StackName"])
        kept = request.get("DisableRollback", False)
        if stack.status.endswith("_FAILED") and not kept:
            _error("ValidationError", f"stack in {stack.status}: use disable-rollback")
        verb = "CREATE" if stack.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        failed = self._create_missing(stack)
        stack.status = f"{verb}_FAILED" if failed else f"{verb}_COMPLETE"
        if failed and not kept:
            self._roll_back(stack, even_retained=False)
        return {}

    def rollback_stack(self, **request: Any) -> Json:
        stack = self._stack(request["StackName"])
        if stack.status != "CREATE_FAILED":
            _error("ValidationError", f"RollbackStack cannot be called from {stack.status}")
        self._roll_back(stack, even_retained=request.get("RetainExceptOnCreate", False))
        return {}

    def update_termination_protection(self, **request: Any) -> Json:
        self._stack(request["StackName"]).protected = request["EnableTerminationProtection"]
        return {}

    def delete_stack(self, **request: Any) -> Json:
        stack = self._stack(request["StackName"])
        if stack.protected:
            _error("ValidationError", "not deleted while TerminationProtection is enabled")
        stack.status = "DELETE_IN_PROGRESS"
        return {}

    def describe_stacks(self, **request: Any) -> Json:
        stack = self._stack(request["StackName"])
        if stack.status == "DELETE_IN_PROGRESS":  # until somebody looks
            failed = self._delete_all(stack, keep=("Retain", "RetainExceptOnCreate"))
            stack.status = "DELETE_FAILED" if failed else "DELETE_COMPLETE"
        return {"Stacks": [{"StackId": stack.id, "StackStatus": stack.status}]}

    def describe_stack_events(self, **request: Any) -> Json:
        return {"StackEvents": self._stack(request["StackName"]).events}

    def _create_missing(self, stack: Stack) -> list[str]:
        bodies, names = stack.template["Resources"], physical_names(stack.template)
        taken = {(one.type, one.physical_id) for one in self.resources}
        failed: list[str] = []
        graph = {logical_id: needs(body, bodies) for logical_id, body in bodies.items()}
        for logical_id in graphlib.TopologicalSorter(graph).static_order():
            if logical_id in stack.resources or not graph[logical_id] <= stack.resources.keys():
                continue  # it exists, or what it needs does not
            body = bodies[logical_id]
            name = names.get(logical_id, f"{logical_id}-{next(self._numbers)}")
            if _has(body, "Fn::ImportValue") or (body["Type"], name) in taken:
                stack.log(logical_id, body["Type"], "CREATE_FAILED")
                failed.append(logical_id)
                continue
            its_needs = {one: stack.resources[one] for one in graph[logical_id]}
            resource = Resource(
                body["Type"], name, body, its_needs, _has(body, "DeletionProtectionEnabled")
            )
            self.resources.append(resource)
            stack.resources[logical_id] = resource
        return failed

    def _roll_back(self, stack: Stack, *, even_retained: bool) -> None:
        failed = self._delete_all(stack, keep=() if even_retained else ("Retain",))
        stack.status = "ROLLBACK_FAILED" if failed else "ROLLBACK_COMPLETE"

    def _delete_all(self, stack: Stack, *, keep: tuple[str, ...]) -> list[str]:
        """Delete or retain what is in the stack, and return what could not be deleted."""
        failed: list[str] = []
        for logical_id, resource in reversed(list(stack.resources.items())):
            if any(logical_id in stack.resources[one].needs for one in failed):
                failed.append(logical_id)  # something that is still there needs it
                continue
            status = "DELETE_SKIPPED"
            if resource.body.get("DeletionPolicy") not in keep:
                try:
                    self._delete(resource)
                    status = "DELETE_COMPLETE"
                except ClientError:
                    failed.append(logical_id)
                    status = "DELETE_FAILED"
            stack.log(logical_id, resource.type, status, resource.physical_id)
            if status != "DELETE_FAILED":
                del stack.resources[logical_id]
        return failed

    def list_tables(self) -> Json:
        return {"TableNames": [one.physical_id for one in self.resources if one.type == TABLE]}

    def update_table(self, **request: Any) -> Json:
        table = self._find(TABLE, request["TableName"])
        table.protected = request["DeletionProtectionEnabled"]
        table.state = "UPDATING"
        return {}

    def delete_table(self, **request: Any) -> Json:
        table = self._find(TABLE, request["TableName"])
        _check_deletable(table)
        table.state = "DELETING"
        return {}

    def put_object(self, **request: Any) -> Json:
        self._find(BUCKET, request["Bucket"]).objects[request["Key"]] = request["Body"]
        return {}

    def list_object_versions(self, **request: Any) -> Json:
        objects = self._find(BUCKET, request["Bucket"]).objects
        return {"Versions": [{"Key": key, "VersionId": "1"} for key in objects]} if objects else {}

    def delete_objects(self, **request: Any) -> Json:
        for each in request["Delete"]["Objects"]:
            del self._find(BUCKET, request["Bucket"]).objects[each["Key"]]
        return {}

    def create_bucket(self, **request: Any) -> Json:
        self.resources.append(Resource(BUCKET, request["Bucket"], {}, {}))
        return {}

    def delete_bucket(self, **request: Any) -> Json:
        self._delete(self._find(BUCKET, request["Bucket"]))
        return {}

    def schedule_key_deletion(self, **request: Any) -> Json:
        self._find(KEY, request["KeyId"]).state = "PENDING_DELETION"
        return {}

    def get_waiter(self, name: str) -> Model:
        return self

    def wait(self, **request: Any) -> None:
        """What is on its way arrives."""
        if "StackName" in request:
            self.describe_stacks(StackName=request["StackName"])
        for table in [one for one in self.resources if one.physical_id == request.get("TableName")]:
            if table.state == "DELETING":
                self.resources.remove(table)
            table.state = "ACTIVE"

    def _delete(self, resource: Resource) -> None:
        _check_deletable(resource)
        if resource.type == EMPTIES_BUCKET:
            for bucket in resource.needs.values():
                bucket.objects.clear()
        if resource.type == KEY:
            resource.state = "PENDING_DELETION"
        else:
            self.resources.remove(resource)

    def _find(self, type: str, name: str) -> Resource:
        for one in self.resources:
            if (one.type, one.physical_id) == (type, name):
                return one
        _error("ResourceNotFoundException", name)

    def _stack(self, name_or_id: str) -> Stack:
        for one in self._stacks:
            if name_or_id == one.id or (name_or_id == one.name and one.status != "DELETE_COMPLETE"):
                return one
        _error("ValidationError", f"Stack with id {name_or_id} does not exist")


def _check_deletable(resource: Resource) -> None:
    if resource.protected:
        _error("ValidationException", f"{resource.physical_id} is protected against deletion")
    if resource.state != "ACTIVE":
        _error("ResourceInUseException", f"{resource.physical_id} is {resource.state}")
    if resource.objects:
        _error("BucketNotEmpty", resource.physical_id)


def needs(body: Json, resources: Json) -> set[str]:
    """The logical ids that a resource refers to or depends on."""
    depends_on = body.get("DependsOn", [])
    found = {depends_on} if isinstance(depends_on, str) else set(depends_on)
    for part in _parts(body):
        found.update({part.get("Ref"), (part.get("Fn::GetAtt") or [None])[0]})
    return found & resources.keys()


def _has(body: Json, key: str) -> bool:
    return any(part.get(key) for part in _parts(body))


def _parts(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
    for each in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _parts(each)


def _error(code: str, message: str) -> NoReturn:
    raise ClientError({"Error": {"Code": code, "Message": message}}, "operation")
