// The AWS SDK for JavaScript, version 3, in two steps with a restart of the server between them.
//   node client.mjs SERVICE create|use [STATE]     prints what the second step needs as JSON
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";
import { createRequire } from "node:module";

const from = createRequire(pathToFileURL(`${process.env.CLIENTS}/package.json`));
const load = (name) => import(pathToFileURL(from.resolve(name)));

const services = {
  s3: {
    async create() {
      const { S3Client, ...s3 } = await load("@aws-sdk/client-s3");
      const client = new S3Client({ endpoint: process.env.S3_ENDPOINT }); // by virtual host
      await client.send(new s3.CreateBucketCommand({ Bucket: "files" }));
      await client.send(new s3.PutObjectCommand({ Bucket: "files", Key: "a b/ü", Body: "kept" }));
      const upload = { Bucket: "files", Key: "parts" };
      const begun = await client.send(new s3.CreateMultipartUploadCommand(upload));
      const Body = Buffer.alloc(5 * 1024 * 1024, "a");
      const part = { ...upload, UploadId: begun.UploadId, PartNumber: 1, Body };
      const { ETag } = await client.send(new s3.UploadPartCommand(part));
      return { UploadId: begun.UploadId, ETag };
    },
    async use({ UploadId, ETag }) {
      const { S3Client, ...s3 } = await load("@aws-sdk/client-s3");
      const client = new S3Client({ endpoint: process.env.S3_ENDPOINT });
      const found = await client.send(new s3.GetObjectCommand({ Bucket: "files", Key: "a b/ü" }));
      assert.equal(await found.Body.transformToString(), "kept");
      const upload = { Bucket: "files", Key: "parts", UploadId };
      const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
      await client.send(new s3.CompleteMultipartUploadCommand({ ...upload, MultipartUpload }));
      const listed = await client.send(new s3.ListObjectsV2Command({ Bucket: "files" }));
      assert.deepEqual(listed.Contents.map((o) => [o.Key, o.Size]), [["a b/ü", 4], ["parts", 5242880]]);
    },
  },
  sqs: {
    async create() {
      const { SQSClient, ...sqs } = await load("@aws-sdk/client-sqs");
      const client = new SQSClient({});
      const { QueueUrl } = await client.send(new sqs.CreateQueueCommand({ QueueName: "jobs" }));
      await client.send(new sqs.SendMessageCommand({ QueueUrl, MessageBody: "one" }));
      const { Messages } = await client.send(new sqs.ReceiveMessageCommand({ QueueUrl }));
      await client.send(new sqs.SendMessageCommand({ QueueUrl, MessageBody: "two" }));
      return { QueueUrl, ReceiptHandle: Messages[0].ReceiptHandle };
    },
    async use({ QueueUrl, ReceiptHandle }) {
      const { SQSClient, ...sqs } = await load("@aws-sdk/client-sqs");
      const client = new SQSClient({});
      await client.send(new sqs.DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
      const { Messages } = await client.send(
        new sqs.ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 1 }),
      );
      assert.deepEqual(Messages.map((m) => m.Body), ["two"]);
    },
  },
  dynamodb: {
    async create() {
      const { DynamoDBClient, ...ddb } = await load("@aws-sdk/client-dynamodb");
      const client = new DynamoDBClient({});
      const TableName = "items";
      await client.send(
        new ddb.CreateTableCommand({
          TableName,
          KeySchema: [{ AttributeName: "k", KeyType: "HASH" }],
          AttributeDefinitions: [{ AttributeName: "k", AttributeType: "S" }],
          BillingMode: "PAY_PER_REQUEST",
        }),
      );
      await ddb.waitUntilTableExists({ client, maxWaitTime: 60 }, { TableName });
      await client.send(new ddb.PutItemCommand({ TableName, Item: { k: { S: "a" }, n: { N: "1" } } }));
      return {};
    },
    async use() {
      const { DynamoDBClient, ...ddb } = await load("@aws-sdk/client-dynamodb");
      const client = new DynamoDBClient({});
      const change = {
        TableName: "items",
        Key: { k: { S: "a" } },
        UpdateExpression: "ADD n :one",
        ConditionExpression: "n = :one",
        ExpressionAttributeValues: { ":one": { N: "1" } },
        ReturnValues: "ALL_NEW",
      };
      const { Attributes } = await client.send(new ddb.UpdateItemCommand(change));
      assert.equal(Attributes.n.N, "2");
      await assert.rejects(client.send(new ddb.UpdateItemCommand(change)), {
        name: "ConditionalCheckFailedException",
      });
    },
  },
  kinesis: {
    async client() {
      const { KinesisClient, ...kinesis } = await load("@aws-sdk/client-kinesis");
      const options = {};
      if (process.env.HTTP === "1.1") {
        // Of its own this client speaks HTTP/2 only.
        const { NodeHttpHandler } = await load("@smithy/node-http-handler");
        options.requestHandler = new NodeHttpHandler();
      }
      return [new KinesisClient(options), kinesis];
    },
    async create() {
      const [client, kinesis] = await this.client();
      const StreamName = "events";
      await client.send(new kinesis.CreateStreamCommand({ StreamName, ShardCount: 1 }));
      await client.send(
        new kinesis.PutRecordCommand({ StreamName, PartitionKey: "p", Data: Buffer.from("one") }),
      );
      const { ShardIterator } = await client.send(
        new kinesis.GetShardIteratorCommand({
          StreamName,
          ShardId: "shardId-000000000000",
          ShardIteratorType: "TRIM_HORIZON",
        }),
      );
      client.destroy();
      return { ShardIterator };
    },
    async use({ ShardIterator }) {
      const [client, kinesis] = await this.client();
      const StreamName = "events";
      await client.send(
        new kinesis.PutRecordCommand({ StreamName, PartitionKey: "p", Data: Buffer.from("two") }),
      );
      const { Records } = await client.send(new kinesis.GetRecordsCommand({ ShardIterator }));
      assert.deepEqual(Records.map((r) => Buffer.from(r.Data).toString()), ["one", "two"]);
      client.destroy();
    },
  },
};

const [service, step, state = "{}"] = process.argv.slice(2);
const result = await services[service][step](JSON.parse(state));
console.log(JSON.stringify(result ?? {}));
