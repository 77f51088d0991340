"""Containers of moto that grow without bound, whose entries are saved and loaded one by one.

``tracked`` says what all of them do, one module each what is special: how its entries are
found, ordered, and written as JSON.

    items       DynamoDB: the items of a table
    messages    SQS: the messages of a queue
    records     Kinesis: the records of a shard
    objects     S3: the objects of a bucket        (``named``: one entry for a name)
    parameters  SSM: the parameters of a region    (the same)
    events      Logs: the events of a stream; CloudWatch: datapoints; DynamoDB: the changes
                in a table's stream             (``sequence``: blocks)

``forms`` writes moto's objects as JSON for the last three.
"""
