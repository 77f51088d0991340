"""moto, driven directly: the only room that imports it.

services    which moto module answers which signing name, target or path
dispatch    a call to its handler and back, without Flask or host matching
developer   queues, mails and texts as LocalStack shows them, and what it deletes
lock        one call at a time, released where a call waits
stores      every store: known, loaded, touched, quarantined
special     the few types whose objects are not plain state
policy      what the state codec asks about moto's objects
sharing     objects that more than one store holds
capture     living stores to graphs, at one cut
costs       how long each store took to capture
forked      work in a forked child, which sees the memory of one instant
runtimes    what ran in threads, and what becomes of it
loading     graphs to living stores, with all they refer to
process     the state that belongs to no store
quirks/     what has to be different from moto, each with its reason
"""
