"""The tutorial's programs run in a place of their own, on each store."""

from tests.process.conftest import place, redis_server, store_url

__all__ = ["place", "redis_server", "store_url"]
