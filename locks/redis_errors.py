"""The exceptions of redis-py that this package knows."""

from redis.exceptions import NoScriptError, RedisError

__all__ = ["NoScriptError", "RedisError"]
