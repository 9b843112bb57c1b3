"""Every Redis key of the store, and how long it lives.

All keys of a namespace begin with `{namespace}:`. The braces make it their hash tag, so that in a
cluster they live on one node; each script declares `prefix(namespace)` as its one key and builds
the others as listed here.

    m:<id>             string  a record; deleted by `drop` and, past its time to live, by `reap`
    p:<id>             string  a payload of over a KiB, until it is not needed any more
    in:<id>            hash    what parents left for a message; goes with its record
    step:<id>          hash    recorded steps; goes with its record
    q:<queue>          zset    queued messages by priority and sequence
    scheduled          zset    by the time they are due
    waiting            zset    by the time they were enqueued
    claims:<session>   zset    running messages by fence
    ended:<state>      zset    final messages by the time they are to be deleted
    dead               zset    dead letters by the time they failed
    expires            zset    live messages that expire, by when
    counts             hash    <state>:<queue> -> number of live messages
    locks              zset    held once-locks by the end of their cap
    lock:<name>        hash    a lock, see locks.keys
    parked:<name>      list    messages parked behind a lock
    stages, sealed     zset    stages by their deadline
    stage:<name>       list    messages of a stage
    endings            list    edges that are still to be followed, in parts
    ending:<number>    hash    what the parent of such parts came to; goes with the last of them
    sessions           zset    sessions by the end of their lease
    workers, info      hash    session -> its worker's name; -> the rest that is known of it
    hosts              hash    session -> its host
    host:<host>        hash    session -> its process, which neighbours look for
    turn:<what>        string  when a process last did what one does for all; lapses
    stops:<session>    set     running messages that the session is to stop; goes with the session
    audit              stream  the trail; trimmed by whoever adds to it, and by `reap`
    audit:<id>         list    the numbers of a message's rows in it; goes with the last of them
    auditbytes         string  what all rows count for
    auditagain         hash    a row's number -> how often more it happened, and when last
    auditcut           hash    message -> how many of its rows were dropped, while it has others;
                               '' -> up to when rows were dropped
    entries, templates hash    schedule entries: their slots; their specs and templates
    entriesversion     string  counts changes of the entries
    fence, seq         string  counters, which never go back
    group:<id>         string  a saved group; lapses
    inbox:<queue>      stream  messages that a producer left without a script, until somebody makes
                               records of them, and bells; idle workers block on it
    inboxes            set     queues that have an inbox
    watcher            string  the idle session that watches for what is due next; lapses
    watched, awaited   string  exist while a caller waits for a change, or an end; lapse in seconds

Channels: `changed:<id>` has the state of a message with a new version, and its record if it has
ended and is not large; `entries` has the names of changed schedule entries.
"""

from typing import Final

from locks.keys import prefix

__all__ = ["LASTING", "WORKERS", "changed", "entries_channel", "inbox", "prefix"]

LASTING: Final = frozenset({"fence", "seq", "entriesversion", "audit", "auditbytes", "auditcut"})
"""Keys that stay, without an expiry, in a namespace from which everything else has gone.

`fence` and `seq` must never start again; `audit` is an empty stream that keeps its last number;
`auditcut` tells up to when it lost rows.
"""

WORKERS: Final = "workers"
"""The consumer group of each inbox, by which an entry is handed to one of those who block."""


def inbox(namespace: str, queue: str) -> str:
    """The stream on which idle workers of a queue block."""
    return f"{prefix(namespace)}inbox:{queue}"


def changed(namespace: str, message_id: str) -> str:
    """The channel of a message's changes."""
    return f"{prefix(namespace)}changed:{message_id}"


def entries_channel(namespace: str) -> str:
    """The channel of changed schedule entries."""
    return f"{prefix(namespace)}entries"
