"""The command line; the server never imports it.

    main       the commands put together, errors turned into exit codes
    options    flags and the settings they stand for
    output     tables, JSON, spinner, errors
    client     the server's HTTP interface, seen from outside
    start      start, in the foreground or detached
    server     stop, status, wait, logs
    state      state save, load, reset, inspect
    offline    check, config, version
    confdoc    writes docs/configuration.md

Modules import only what every command needs; rich, urllib and the server are
imported by the functions that use them, because `perdure start` is timed.
"""
