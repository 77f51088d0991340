// A CDK app with one stack: a queue subscribed to a topic, a table, a bucket, a role that may use them.
// EDITION=second adds a queue and an attribute, so that a second deploy is an update.
const cdk = require("aws-cdk-lib");
const dynamodb = require("aws-cdk-lib/aws-dynamodb");
const iam = require("aws-cdk-lib/aws-iam");
const s3 = require("aws-cdk-lib/aws-s3");
const sns = require("aws-cdk-lib/aws-sns");
const { SqsSubscription } = require("aws-cdk-lib/aws-sns-subscriptions");
const sqs = require("aws-cdk-lib/aws-sqs");

class Shop extends cdk.Stack {
  constructor(scope, id, props) {
    super(scope, id, props);
    const removalPolicy = cdk.RemovalPolicy.DESTROY;
    const orders = new sqs.Queue(this, "Orders", {
      queueName: "orders",
      visibilityTimeout: cdk.Duration.seconds(process.env.EDITION === "second" ? 60 : 30),
    });
    const topic = new sns.Topic(this, "Sold", { topicName: "sold" });
    topic.addSubscription(new SqsSubscription(orders, { rawMessageDelivery: true }));
    const table = new dynamodb.Table(this, "Stock", {
      tableName: "stock",
      partitionKey: { name: "id", type: dynamodb.AttributeType.STRING },
      removalPolicy,
    });
    const bucket = new s3.Bucket(this, "Invoices", { versioned: true, removalPolicy });
    const role = new iam.Role(this, "Clerk", {
      assumedBy: new iam.AccountRootPrincipal(),
    });
    bucket.grantReadWrite(role);
    table.grantReadWriteData(role);
    orders.grantConsumeMessages(role);
    if (process.env.EDITION === "second") {
      new sqs.Queue(this, "Returns", { queueName: "returns" });
    }
    new cdk.CfnOutput(this, "Bucket", { value: bucket.bucketName });
    new cdk.CfnOutput(this, "Role", { value: role.roleArn });
    new cdk.CfnOutput(this, "QueueUrl", { value: orders.queueUrl });
    new cdk.CfnOutput(this, "TopicArn", { value: topic.topicArn });
  }
}

new Shop(new cdk.App(), "Shop", { env: { account: "000000000000", region: "us-east-1" } });
