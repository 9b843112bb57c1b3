"""Hypothesis strategies for the store's values: few ids, keys and queues, so that they collide."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from reliable_tasks.core import outcome as oc
from reliable_tasks.core.message import Edge, Message, On, OnceLock
from reliable_tasks.store import values as v

__all__ = [
    "IDS",
    "KEYS",
    "NOW",
    "QUEUES",
    "SESSIONS",
    "STAGES",
    "few_ids",
    "graphs",
    "id_lists",
    "inboxes",
    "messages",
    "once_locks",
    "options",
    "outcomes",
    "payloads",
    "replacements_in_kind",
]

NOW = 1_800_000_000_000
IDS = ("a", "b", "c", "d", "e", "f")
KEYS = ("k1", "k2")
QUEUES = ("q1", "q2")
SESSIONS = ("s1", "s2", "s3")
STAGES = ("st1",)
SCOPES = (
    "until_executed",
    "until_executing",
    "while_executing",
    "until_and_while_executing",
    "until_expired",
)
POLICIES = ("raise", "return", "replace", "rerun", "reschedule")
SPANS = (0, 1, 1000, 60_000)
BYTES = (b"", b"x", b"\x00\xff", b"[1]")

options = st.builds(
    lambda audit, bounds: v.StoreOptions(
        audit=audit,
        stage_ttl_ms=50_000,
        audit_ttl_ms=300_000,
        max_audit_rows=bounds[0],
        max_audit_bytes=bounds[1],
    ),
    st.sampled_from(("default", "default", "all")),
    st.sampled_from(((0, 0), (20, 0), (0, 5_000))),
)
inboxes = st.lists(st.sampled_from(QUEUES), min_size=1, max_size=3)
id_lists = st.lists(st.sampled_from(IDS), max_size=3)
# One key alone has a cap: in which order locks go whose caps have passed together is not promised.
few_ids = st.lists(st.sampled_from(IDS), min_size=1, max_size=3)
payloads = st.sampled_from((b"", b"p", b"p" * 2000))
once_locks = st.builds(
    OnceLock,
    key=st.just(KEYS[0]),
    scope=st.sampled_from(SCOPES),
    on_conflict=st.sampled_from(POLICIES),
    timeout_ms=st.sampled_from((0, 500_000)),
) | st.builds(
    OnceLock,
    key=st.just(KEYS[1]),
    scope=st.sampled_from(SCOPES),
    on_conflict=st.sampled_from(POLICIES),
)


def _instants(now: int) -> st.SearchStrategy[int | None]:
    return st.sampled_from((None, None, None, now - 5, now, now + 1000, now + 60_000))


@st.composite
def messages(draw: st.DrawFn, now: int, /, once: bool | None = None, **fixed: Any) -> Message:
    """A message; `once` says whether it has a once-lock (None: perhaps)."""
    locked = draw(st.booleans()) if once is None else once
    values: dict[str, Any] = {
        "id": draw(st.sampled_from(IDS)),
        "task": draw(st.sampled_from(("t1", "t2"))),
        "queue": draw(st.sampled_from(QUEUES)),
        "priority": draw(st.sampled_from((0, 0, 1, 9))),
        "payload": draw(st.sampled_from(BYTES)),
        "headers": draw(st.sampled_from(BYTES)),
        "once": draw(once_locks) if locked else None,
        "token": draw(st.sampled_from(("", "again"))),
    }
    if draw(st.booleans()):
        values |= {
            "eta_ms": draw(_instants(now)),
            "delay_ms": draw(st.sampled_from(SPANS)),
            "expires_ms": draw(_instants(now)),
            "expires_in_ms": draw(st.sampled_from((None, 1000, 60_000))),
            "joins_duplicate": draw(st.booleans()),
            "max_deliveries": draw(st.sampled_from((1, 2, 5))),
            "result_ttl_ms": draw(st.sampled_from((0, 2000, 86_400_000))),
            "failure_ttl_ms": draw(st.sampled_from((0, 2000, 86_400_000))),
            "root_id": draw(st.sampled_from(("", "a", "root"))),
            "parent_id": draw(st.sampled_from((None, "b"))),
        }
    return Message(**(values | fixed))


@st.composite
def graphs(draw: st.DrawFn, now: int, ids: tuple[str, ...] = IDS) -> tuple[Message, ...]:
    """A workflow of two to four messages; edges point forward."""
    names = draw(st.lists(st.sampled_from(ids), min_size=2, max_size=4, unique=True))
    edges: dict[str, list[Edge]] = {name: [] for name in names}
    waits = dict.fromkeys(names, 0)
    for i, child in enumerate(names[1:], 1):
        failing = draw(st.booleans()) and draw(st.booleans())
        parents = draw(st.lists(st.sampled_from(names[:i]), min_size=1, max_size=2, unique=True))
        for slot, parent in enumerate(parents):
            on = On.FAILURE if failing else On.SUCCESS
            edges[parent].append(Edge(child, on, draw(st.sampled_from((-1, slot, slot)))))
            waits[child] += 1
    return tuple(
        draw(messages(now, id=name, edges=tuple(edges[name]), waits=waits[name])) for name in names
    )


def outcomes(now: int, message_id: str) -> st.SearchStrategy[oc.Outcome]:
    """Any outcome, those that succeed first."""
    some, detail = st.sampled_from(BYTES), st.sampled_from((b"", b'{"why":1}'))
    return st.one_of(
        st.builds(oc.Succeeded, result=some, keep=st.booleans(), detail=detail),
        st.builds(oc.Succeeded, result=some),
        st.builds(oc.Failed, failure=some, detail=detail, reason=st.just("failed")),
        st.builds(
            oc.Retry,
            delay_ms=st.sampled_from(SPANS),
            at_ms=_instants(now),
            failure=some,
            payload=st.sampled_from((None, b"new")),
            queue=st.sampled_from((None, *QUEUES)),
            headers=st.sampled_from((None, b"other")),
            priority=st.sampled_from((None, 0, 9)),
            expires_ms=_instants(now),
            detail=detail,
        ),
        st.builds(
            oc.Released,
            delay_ms=st.sampled_from(SPANS),
            bounce=st.booleans(),
            begun=st.booleans(),
        ),
        st.builds(oc.KilledAtLimit, failure=some),
        st.builds(oc.Ignored, detail=detail),
        st.builds(oc.Rejected, requeue=st.booleans(), failure=some),
        st.builds(oc.Revoked),
        st.builds(oc.KeyAssigned, once=once_locks),
        _replacements(now, message_id),
    )


@st.composite
def replacements_in_kind(
    draw: st.DrawFn, now: int, message_id: str, ids: list[str], once: OnceLock | None
) -> oc.Replaced:
    """Messages of these ids in the place of another, as `self.replace` makes them, with its key."""
    first, *others = draw(st.permutations(ids))[: draw(st.sampled_from((1, 2, 3, 3)))]
    fields: dict[str, Any] = {
        "joins_duplicate": True,
        "queue": "q1",
        "token": f"graft {now}",
        "task": "t1",
    }
    end = Message(id=first, edges=(Edge(message_id, On.MIRROR),), waits=len(others), **fields)
    if not others:
        return oc.Replaced(messages=(msgspec.structs.replace(end, once=once),))
    locks = st.sampled_from((once, once, once, None))
    parts = (
        Message(id=name, edges=(Edge(first, On.SUCCESS, 0),), once=draw(locks), **fields)
        for name in others
    )
    return oc.Replaced(messages=(end, *parts))


@st.composite
def _replacements(draw: st.DrawFn, now: int, message_id: str) -> oc.Replaced:
    """One or two messages in the place of another, of which the last points at it."""
    others = [i for i in IDS if i != message_id]
    names = draw(st.lists(st.sampled_from(others), min_size=1, max_size=2, unique=True))
    mirror = (Edge(message_id, On.MIRROR),)
    graft = [draw(messages(now, id=names[-1], edges=mirror, waits=len(names) - 1))]
    if len(names) > 1:
        graft.insert(0, draw(messages(now, id=names[0], edges=(Edge(names[1], On.SUCCESS, 0),))))
    return oc.Replaced(messages=tuple(graft))
