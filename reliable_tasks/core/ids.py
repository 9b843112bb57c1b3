"""The only module that makes ids and random numbers, so that a simulation can replace both.

Ids are random UUIDs (version 4), as Celery's are. `uuid.uuid4` reads the operating system's entropy
on each call; one generator per process, seeded from that entropy, is several times faster. A forked
process must not continue the sequence, so it seeds the generator anew. It is recognised by its
process id, because a server written in C (uWSGI) forks without running Python's at-fork hooks.
"""

import os as _os
import random as _random

__all__ = ["new_id", "uniform"]

_FREE = 0xFFFFFFFF_FFFF_0FFF_3FFF_FFFFFFFFFFFF
_VERSION_4 = 0x00000000_0000_4000_8000_000000000000
_getpid = _os.getpid
_pid = _getpid()
_generator = _random.Random(_os.urandom(32))  # noqa: S311 - ids must be unique, not secret


def _reseed() -> None:
    global _pid  # noqa: PLW0603 - there is one process
    _generator.seed(_os.urandom(32))
    _pid = _getpid()


# When Python forks, this reseeds even if the copy got the id of a process that has ended.
_os.register_at_fork(after_in_child=_reseed)


def new_id() -> str:
    """A new id for a message, a session or a group."""
    if _getpid() != _pid:
        _reseed()
    # `uuid.UUID` would make the same text, several times slower.
    digits = (_generator.getrandbits(128) & _FREE | _VERSION_4).to_bytes(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uniform(low: float, high: float) -> float:
    """A random number between `low` and `high`, for jitter."""
    if _getpid() != _pid:
        _reseed()
    return _generator.uniform(low, high)
