"""The only module that makes ids and random numbers, so that a simulation can replace both.

Ids are random UUIDs (version 4), as Celery's are. `uuid.uuid4` reads the operating system's entropy
on each call; one generator per process, seeded from that entropy, is several times faster. A forked
process must not continue the sequence, so it seeds the generator anew. It is recognised by its
process id, because a server written in C (uWSGI) forks without running Python's at-fork hooks.

Ids that a process makes one after the other begin with the same three digits. So messages that are
stored together, and forgotten together, are near each other in an index: of a file with 200,000, to
delete 500 changes some 20 pages of it, and not 450. Their first eight digits still tell them apart.
"""

import os as _os
import random as _random

__all__ = ["new_id", "restart", "uniform"]

_ALIKE = 1024
"""How many ids begin alike: 12 bits of theirs are the same, the other 110 are random."""
_COMMON = 0xFFF00000_0000_0000_0000_000000000000
_FREE = 0x000FFFFF_FFFF_0FFF_3FFF_FFFFFFFFFFFF
_VERSION_4 = 0x00000000_0000_4000_8000_000000000000
_getpid = _os.getpid
_pid = _getpid()
_generator = _random.Random(_os.urandom(32))  # noqa: S311 - ids must be unique, not secret
_beginning = 0
_left = 0


def restart(seed: bytes | int) -> None:
    """Seed the generator anew; the same seed leads to the same ids and numbers."""
    global _left, _pid  # noqa: PLW0603 - there is one process
    _generator.seed(seed)
    _left = 0
    _pid = _getpid()


def _reseed() -> None:
    restart(_os.urandom(32))


# When Python forks, this reseeds even if the copy got the id of a process that has ended.
_os.register_at_fork(after_in_child=_reseed)


def new_id() -> str:
    """A new id for a message, a session or a group."""
    global _beginning, _left  # noqa: PLW0603 - as above
    if _getpid() != _pid:
        _reseed()
    bits = _generator.getrandbits(128)
    _left -= 1
    if _left < 0:
        _beginning, _left = bits & _COMMON | _VERSION_4, _ALIKE - 1
    # `uuid.UUID` would make the same text, several times slower.
    digits = (bits & _FREE | _beginning).to_bytes(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def uniform(low: float, high: float) -> float:
    """A random number between `low` and `high`, for jitter."""
    if _getpid() != _pid:
        _reseed()
    return _generator.uniform(low, high)
