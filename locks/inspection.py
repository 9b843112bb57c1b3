"""Who holds what, since when and until when; and freeing what a dead holder left."""

from locks import _clock
from locks._opening import Store, open_backend
from locks._ops import Kind, LockInfo, Subject, check_subject, is_text
from locks.errors import LockError

__all__ = ["free", "inspect"]


def inspect(store: Store, name: str | None = None, *, namespace: str = "locks") -> list[LockInfo]:
    """The leases that are held now, of locks and semaphores, by kind, name and fencing number.

    Args:
        store: a redis.Redis or RedisCluster, or the path of an SQLite file.
        name: only of this name; None = of all. All of a big Redis takes a while to go through, a
            page at a time.
        namespace: as the locks have it.

    Raises:
        LockError: `store` is neither.
        LockStoreError: the store could not be asked.
    """
    if name is not None:
        check_subject("lock", name, 1)
    backend = open_backend(store, namespace)
    subjects: list[tuple[Kind, str]]
    subjects = sorted(backend.names()) if name is None else [("lock", name), ("semaphore", name)]
    found = []
    for kind, one in subjects:
        waiters, holders = backend.read(Subject(kind, one))
        found += [
            LockInfo(
                name=one,
                kind=kind,
                owner=holder.owner,
                fence=holder.fence,
                since=_clock.from_ms(holder.since_ms),
                until=_clock.from_ms(holder.until_ms) if holder.until_ms else None,
                waiters=waiters,
            )
            for holder in holders
        ]
    return found


def free(
    store: Store, name: str, owner: str, *, kind: Kind = "lock", namespace: str = "locks"
) -> bool:
    """Free what `owner` holds, for whoever is sure that it is dead; whether it held anything.

    The owner is compared in the store, so a lock that meanwhile went to another is left alone. An
    owner that lives after all learns of it with its next renewal.

    Raises:
        LockError: an argument is not valid.
        LockStoreError: the store could not be asked.
    """
    if not isinstance(owner, str) or not is_text(owner):
        raise LockError(f"owner is {owner!r}; it must be the token of a lease")
    subject = check_subject(kind, name, 1)
    return open_backend(store, namespace).free(subject, owner, forced=True)
