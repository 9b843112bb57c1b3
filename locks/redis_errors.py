"""The exceptions of redis-py that this package knows."""

from redis.exceptions import NoScriptError, RedisError
from redis.exceptions import TimeoutError as SocketTimeout

__all__ = ["NoScriptError", "RedisError", "SocketTimeout"]
