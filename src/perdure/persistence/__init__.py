"""Bytes that survive: state files, the manifest that names them, the directory that holds them.

No HTTP and no moto in this room.  ``engine`` meets it through ``codec.Policy``.

    directory   opens, locks and recognises a state directory
    codec       object graph <-> inert bytes
    statefile   one store on disk: header, class table, payload, checksums
    fields      JSON documents, of the types their format says
    manifest    the root file: which state files are live, and at which cut
    checkpoint  publishes captured stores as one cut
    check       says what a directory holds, without a server
"""
