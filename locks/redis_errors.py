"""The exceptions of redis-py that this package knows."""

from redis.exceptions import NoScriptError, RedisClusterException, RedisError
from redis.exceptions import TimeoutError as SocketTimeout

__all__ = ["DRIVERS_OWN", "NoScriptError", "RedisError", "SocketTimeout"]

DRIVERS_OWN = (RedisError, RedisClusterException, OSError)
"""What redis-py raises; that no node of a cluster answers is no error of Redis to it."""
