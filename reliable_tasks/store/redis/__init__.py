"""The distributed store, on Redis 6.2 or newer and on Valkey."""

from reliable_tasks.store.redis.opening import acl_rules

from .store import RedisStore

__all__ = ["RedisStore", "acl_rules"]
