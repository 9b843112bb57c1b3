"""Translate redis-py's exceptions into the store's own; nowhere else is this done.

The first word of a server's error says what it is about; a script's error has it inside.
"""

import contextlib
import re
from collections.abc import Iterator

from redis import exceptions as rx

from locks.redis_errors import DRIVERS_OWN
from reliable_tasks import errors

__all__ = ["DRIVERS_OWN", "is_out_of_memory", "store_error", "translated"]

_CODE = re.compile(r"^(?:ERR )?(?:-)?([A-Z]{3,})\b")
_AWAY = frozenset(
    {"LOADING", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "BUSY", "UNBLOCKED", "MOVED", "ASK"}
)
_READ_ONLY = frozenset({"READONLY"})
_TOO_FEW = frozenset({"NOREPLICAS"})
_REFUSED = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})


_CANNOT_BE_REACHED = (
    rx.ConnectionError,
    rx.TimeoutError,
    rx.ClusterDownError,
    rx.RedisClusterException,  # no node answers, or nobody has some of the slots
    OSError,
)


@contextlib.contextmanager
def translated(location: str) -> Iterator[None]:
    """Raise the store's errors in place of redis-py's.

    Args:
        location: where the store is, without secrets.
    """
    try:
        yield
    except DRIVERS_OWN as e:
        raise store_error(location, e) from e


def store_error(location: str, e: Exception) -> errors.StoreError:
    """The store's error that one of `DRIVERS_OWN` stands for."""
    if isinstance(e, rx.AuthenticationError | rx.AuthorizationError | rx.NoPermissionError):
        return _refused(location, e)
    if isinstance(e, _CANNOT_BE_REACHED):
        if "[SSL" in str(e):
            return _without_trust(location, e)
        return errors.StoreUnavailable(f"{location} cannot be reached: {e}")
    return _from_reply(location, e)


def _refused(location: str, e: Exception) -> errors.StoreError:
    return errors.StoreError(
        f"{location} refuses: {e}; give the URL a user and password that may do this "
        "(`reliable-tasks report --acl` prints the rules it needs)"
    )


def _without_trust(location: str, e: Exception) -> errors.StoreError:
    """TLS was not agreed on. To try again is of no use before somebody mends that."""
    text = str(e)
    remedy = "see its log for why it refused; a client certificate is ssl_certfile and ssl_keyfile"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        remedy = (
            "give the certificate of the authority that signed the server's as ssl_ca_certs=FILE, "
            "and name the host as that certificate does"
        )
    return errors.StoreError(f"{location} cannot be trusted: {text}; {remedy}")


def _from_reply(location: str, e: Exception) -> errors.StoreError:
    text = str(e)
    code = _code_of(text)
    if code in _AWAY | _TOO_FEW or isinstance(e, rx.TryAgainError | rx.BusyLoadingError):
        return errors.StoreUnavailable(f"{location} is not ready: {text}")
    if code in _READ_ONLY or isinstance(e, rx.ReadOnlyError):
        return errors.StoreUnavailable(
            f"{location} is a replica, or was made one by a failover: {text}"
        )
    if is_out_of_memory(e) or code == "MISCONF":
        return _full(location, e)
    if code in _REFUSED or "ACL failure" in text or "no permissions" in text:
        return _refused(location, e)
    if code in {"FOREIGN", "WRONGTYPE"}:
        return errors.StoreError(
            f"{location}: {text}; something else writes to keys of this namespace, "
            "choose another namespace"
        )
    return errors.StoreError(f"{location}: {text}")


def _full(location: str, e: Exception) -> errors.StoreError:
    if is_out_of_memory(e):
        return errors.StoreFull(
            f"{location} is at its maxmemory and takes nothing new: {e}; raise maxmemory, or "
            "make room (`reliable-tasks purge`, `dead drop`, a shorter result_expires)"
        )
    return errors.StoreFull(f"{location} takes no writes: {e}; give it room on its disk")


def is_out_of_memory(e: Exception) -> bool:
    """Whether the server refused a write, or a script before its first one, at its `maxmemory`."""
    if isinstance(e, rx.OutOfMemoryError):
        return True
    return isinstance(e, rx.ResponseError) and _code_of(str(e)) == "OOM"


def _code_of(text: str) -> str:
    """The error's code; of a script's error, the code of the command that failed in it."""
    for code in ("OOM", "READONLY", "MISCONF", "NOPERM", "WRONGTYPE", "NOREPLICAS"):
        if re.search(rf"\b{code}\b", text):
            return code
    found = _CODE.match(text)
    return found.group(1) if found else ""
