"""The distributed store, on Redis 6.2 or newer and on Valkey."""

from .store import RedisStore

__all__ = ["RedisStore"]
