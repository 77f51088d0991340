"""DynamoDB across a restart."""

from __future__ import annotations

from decimal import Decimal

import pytest
from botocore.exceptions import ClientError
from resume import resumed


def make_table(dynamodb, name, *, keys=("id",), **more):
    names = {*keys, *(more.pop("also", ()))}
    return dynamodb.create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": k, "KeyType": t}
            for k, t in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in sorted(names)],
        BillingMode="PAY_PER_REQUEST",
        **more,
    )


def s(text):
    return {"S": text}


@resumed
def test_indexes_are_queried(aws):
    """Global and local indexes answer queries after a restart, for old and new items."""
    dynamodb = aws.client("dynamodb")
    make_table(
        dynamodb,
        "indexed",
        keys=("id", "sort"),
        also=("colour", "size"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-colour",
                "KeySchema": [{"AttributeName": "colour", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        LocalSecondaryIndexes=[
            {
                "IndexName": "by-size",
                "KeySchema": [
                    {"AttributeName": "id", "KeyType": "HASH"},
                    {"AttributeName": "size", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )

    def put(sort, colour, size):
        item = {"id": s("1"), "sort": s(sort), "colour": s(colour), "size": s(size)}
        dynamodb.put_item(TableName="indexed", Item=item)

    def query(index, condition, **values):
        found = dynamodb.query(
            TableName="indexed",
            IndexName=index,
            KeyConditionExpression=condition,
            ExpressionAttributeValues={f":{k}": s(v) for k, v in values.items()},
            **({"ExpressionAttributeNames": {"#s": "size"}} if "#s" in condition else {}),
        )
        return [item["sort"]["S"] for item in found["Items"]]

    put("a", "red", "3")
    put("b", "blue", "2")
    yield
    put("c", "red", "1")
    assert sorted(query("by-colour", "colour = :c", c="red")) == ["a", "c"]
    assert query("by-size", "id = :i AND #s < :m", i="1", m="3") == ["c", "b"]


@resumed
def test_conditions_and_updates(aws):
    """Conditions and update expressions see after a restart what was written before it."""
    dynamodb = aws.client("dynamodb")
    make_table(dynamodb, "counted")
    dynamodb.put_item(TableName="counted", Item={"id": s("k"), "n": {"N": "41"}})
    yield
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        dynamodb.put_item(
            TableName="counted",
            Item={"id": s("k")},
            ConditionExpression="attribute_not_exists(id)",
        )
    done = dynamodb.update_item(
        TableName="counted",
        Key={"id": s("k")},
        UpdateExpression="SET n = n + :one",
        ConditionExpression="n = :old",
        ExpressionAttributeValues={":one": {"N": "1"}, ":old": {"N": "41"}},
        ReturnValues="UPDATED_NEW",
    )
    assert done["Attributes"] == {"n": {"N": "42"}}


@resumed
def test_every_type_of_value(aws):
    """Items come back with every attribute type, sets and nested ones too, unchanged."""
    dynamodb = aws.client("dynamodb")
    make_table(dynamodb, "typed")
    item = {
        "id": s("k"),
        "number": {"N": "-1.5E-7"},
        "big": {"N": str(Decimal(2) ** 100)},
        "bytes": {"B": b"\x00\x01\xff"},
        "yes": {"BOOL": True},
        "none": {"NULL": True},
        "list": {"L": [{"N": "1"}, s("two"), {"L": []}]},
        "map": {"M": {"deep": {"M": {"er": s("ü")}}}},
        "strings": {"SS": ["a", "b"]},
        "numbers": {"NS": ["1", "2.5"]},
        "binaries": {"BS": [b"x", b"y"]},
    }
    dynamodb.put_item(TableName="typed", Item=item)
    before = dynamodb.get_item(TableName="typed", Key={"id": s("k")})["Item"]
    yield
    after = dynamodb.get_item(TableName="typed", Key={"id": s("k")})["Item"]
    for name in ("strings", "numbers", "binaries"):
        kind = next(iter(item[name]))
        assert sorted(after[name][kind]) == sorted(before[name][kind]) == item[name][kind]
    assert {k: v for k, v in after.items() if k not in ("strings", "numbers", "binaries")} == {
        k: v for k, v in before.items() if k not in ("strings", "numbers", "binaries")
    }
    added = dynamodb.update_item(
        TableName="typed",
        Key={"id": s("k")},
        UpdateExpression="ADD numbers :more DELETE strings :less",
        ExpressionAttributeValues={":more": {"NS": ["3"]}, ":less": {"SS": ["a"]}},
        ReturnValues="ALL_NEW",
    )["Attributes"]
    assert sorted(added["numbers"]["NS"]) == ["1", "2.5", "3"]
    assert added["strings"] == {"SS": ["b"]}


@resumed
def test_transactions(aws):
    """A transaction after a restart checks and changes items written before it, or none."""
    dynamodb = aws.client("dynamodb")
    make_table(dynamodb, "accounts")
    for name in ("a", "b"):
        dynamodb.put_item(TableName="accounts", Item={"id": s(name), "n": {"N": "10"}})

    def move(amount):
        def change(name, by):
            return {
                "Update": {
                    "TableName": "accounts",
                    "Key": {"id": s(name)},
                    "UpdateExpression": "SET n = n + :by",
                    "ConditionExpression": "n >= :least",
                    "ExpressionAttributeValues": {
                        ":by": {"N": str(by)},
                        ":least": {"N": str(max(0, -by))},
                    },
                }
            }

        dynamodb.transact_write_items(TransactItems=[change("b", amount), change("a", -amount)])

    yield
    move(4)
    with pytest.raises(ClientError, match="TransactionCanceled"):
        move(100)
    found = dynamodb.transact_get_items(
        TransactItems=[
            {"Get": {"TableName": "accounts", "Key": {"id": s(name)}}} for name in ("a", "b")
        ]
    )["Responses"]
    assert [r["Item"]["n"]["N"] for r in found] == ["6", "14"]


@resumed
def test_streams_go_on(aws):
    """A stream iterator taken before a restart reads on after it, with rising numbers."""
    dynamodb, streams = aws.client("dynamodb"), aws.client("dynamodbstreams")
    make_table(
        dynamodb,
        "streamed",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    dynamodb.put_item(TableName="streamed", Item={"id": s("k"), "v": s("old")})
    arn = dynamodb.describe_table(TableName="streamed")["Table"]["LatestStreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    yield
    dynamodb.put_item(TableName="streamed", Item={"id": s("k"), "v": s("new")})
    records = streams.get_records(ShardIterator=iterator)["Records"]
    assert [r["eventName"] for r in records] == ["INSERT", "MODIFY"]
    assert records[1]["dynamodb"]["OldImage"]["v"] == s("old")
    assert records[1]["dynamodb"]["NewImage"]["v"] == s("new")
    first, second = (int(r["dynamodb"]["SequenceNumber"]) for r in records)
    assert first < second


@resumed
def test_batches_and_scans(aws):
    """Batches, paged scans and filters reach every item written before a restart."""
    dynamodb = aws.client("dynamodb")
    make_table(dynamodb, "many")
    for start in (0, 20):
        items = [
            {"PutRequest": {"Item": {"id": s(f"{n:02d}"), "odd": {"BOOL": n % 2 == 1}}}}
            for n in range(start, start + 20)
        ]
        dynamodb.batch_write_item(RequestItems={"many": items})
    yield
    pages = dynamodb.get_paginator("scan").paginate(
        TableName="many", PaginationConfig={"PageSize": 7}
    )
    assert sorted(i["id"]["S"] for page in pages for i in page["Items"]) == [
        f"{n:02d}" for n in range(40)
    ]
    odd = dynamodb.scan(
        TableName="many",
        FilterExpression="odd = :yes",
        ExpressionAttributeValues={":yes": {"BOOL": True}},
    )
    assert odd["Count"] == 20
    dynamodb.batch_write_item(RequestItems={"many": [{"DeleteRequest": {"Key": {"id": s("07")}}}]})
    got = dynamodb.batch_get_item(
        RequestItems={"many": {"Keys": [{"id": s("06")}, {"id": s("07")}]}}
    )
    assert [i["id"]["S"] for i in got["Responses"]["many"]] == ["06"]


@resumed
def test_settings_of_a_table(aws):
    """A table keeps its ARN, TTL, tags, backups and point-in-time setting."""
    dynamodb = aws.client("dynamodb")
    make_table(dynamodb, "settings", Tags=[{"Key": "a", "Value": "b"}])
    before = dynamodb.describe_table(TableName="settings")["Table"]
    dynamodb.update_time_to_live(
        TableName="settings", TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"}
    )
    dynamodb.update_continuous_backups(
        TableName="settings",
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )
    dynamodb.put_item(TableName="settings", Item={"id": s("saved")})
    backup = dynamodb.create_backup(TableName="settings", BackupName="first")["BackupDetails"]
    yield
    after = dynamodb.describe_table(TableName="settings")["Table"]
    for name in ("TableArn", "CreationDateTime", "KeySchema"):
        assert after[name] == before[name]
    ttl = dynamodb.describe_time_to_live(TableName="settings")["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}
    tags = dynamodb.list_tags_of_resource(ResourceArn=after["TableArn"])["Tags"]
    assert tags == [{"Key": "a", "Value": "b"}]
    backups = dynamodb.describe_continuous_backups(TableName="settings")
    recovery = backups["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert recovery["PointInTimeRecoveryStatus"] == "ENABLED"
    dynamodb.restore_table_from_backup(TargetTableName="restored", BackupArn=backup["BackupArn"])
    assert dynamodb.scan(TableName="restored")["Items"] == [{"id": s("saved")}]


@resumed
def test_partiql(aws):
    """A PartiQL statement reads what was written before a restart."""
    dynamodb = aws.client("dynamodb")
    make_table(dynamodb, "spoken")
    dynamodb.put_item(TableName="spoken", Item={"id": s("k"), "v": s("said")})
    yield
    found = dynamodb.execute_statement(
        Statement="SELECT v FROM spoken WHERE id = ?", Parameters=[s("k")]
    )
    assert found["Items"] == [{"v": s("said")}]


@resumed
def test_export_reaches_s3(aws):
    """A table of before a restart is exported after it into a bucket of S3."""
    dynamodb, s3 = aws.client("dynamodb"), aws.client("s3")
    arn = dynamodb.create_table(
        TableName="exported",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]["TableArn"]
    dynamodb.put_item(TableName="exported", Item={"k": {"S": "one"}})
    dynamodb.update_continuous_backups(
        TableName="exported",
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )
    s3.create_bucket(Bucket="exports")
    yield
    made = dynamodb.export_table_to_point_in_time(TableArn=arn, S3Bucket="exports", S3Prefix="out")
    export = {"ExportArn": made["ExportDescription"]["ExportArn"]}

    def is_done():
        found = dynamodb.describe_export(**export)["ExportDescription"]
        assert found["ExportStatus"] != "FAILED", found
        return found["ExportStatus"] == "COMPLETED"

    aws.server.wait_until(is_done, "exported")
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket="exports")["Contents"]]
    assert any(key.startswith("out/") and "/data/" in key for key in keys)
