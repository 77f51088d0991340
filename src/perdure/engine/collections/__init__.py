"""Containers of moto that grow without bound, whose entries are saved and loaded one by one.

``tracked`` says what all of them do, one module each what is special: how its entries are
found, ordered, and written as JSON.

    items     DynamoDB: the items of a table
    messages  SQS: the messages of a queue
    records   Kinesis: the records of a shard
"""
