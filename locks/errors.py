"""Every exception of the package: one root, and for each a line that doubles as default message."""

__all__ = ["AlreadyHeld", "LeaseLost", "LockError", "LockStoreError", "LockTimeout", "NotHeld"]


class LockError(Exception):
    """Something that a lock was asked to do cannot be done."""

    def __str__(self) -> str:
        return super().__str__() or (type(self).__doc__ or "").splitlines()[0]


class LockTimeout(LockError, TimeoutError):
    """The lock was not free in time."""


class LeaseLost(LockError):
    """The lease is not this holder's any more; somebody else may hold the lock."""


class AlreadyHeld(LockError):
    """The same thread or task holds the lock already, and would wait for itself."""


class NotHeld(LockError):
    """This thread or task holds no lease of the lock."""


class LockStoreError(LockError, ConnectionError):
    """The store could not be asked; whether the last call was applied is not known."""
