"""What a server offers: warnings, guarantees, and the ACL rules that a user needs."""

import re
from typing import Any, Final

from redis import exceptions as rx

from locks.keys import pattern, prefix
from reliable_tasks.core.clock import now_ms
from reliable_tasks.store.redis.durability import setting
from reliable_tasks.store.redis.server import Server

__all__ = ["acl_rules", "guarantees", "version_of", "warnings"]

OLDEST: Final = (6, 2)
CLOCKS_APART_MS: Final = 5_000
NEARLY_FULL: Final = 0.9
COMMANDS: Final = (
    *("eval", "evalsha", "time", "exists", "del", "get", "set", "mget", "mset", "msetnx", "incr"),
    *("incrby", "pexpire", "persist", "hget", "hset", "hmget", "hdel", "hgetall", "hkeys"),
    *("hincrby", "zadd", "zrem", "zcard", "zcount", "zscore", "zrank", "zrange", "zrangebyscore"),
    *(
        "zremrangebyscore",
        "zremrangebyrank",
        "rpush",
        "lpush",
        "llen",
        "lindex",
        "lrange",
        "lrem",
        "ltrim",
        "blpop",
    ),
    *("sadd", "srem", "smembers", "xadd", "xrange", "xtrim", "xdel", "xlen", "xreadgroup", "scan"),
    *("publish", "subscribe", "unsubscribe", "ping", "info", "wait", "waitaof", "select"),
    *("client|id", "client|unblock", "client|setinfo", "client|setname", "config|get"),
    *("xgroup|create", "xinfo|stream"),
)
OF_A_CLUSTER: Final = ("cluster|slots", "cluster|myid", "command", "asking")
SINCE: Final = {"client|setinfo": (7, 2), "waitaof": (7, 2)}


def acl_rules(
    namespace: str, version: tuple[int, ...] = OLDEST, *, is_cluster: bool = False
) -> str:
    """The least that a user needs for a namespace, as `ACL SETUSER <name>` takes it.

    Args:
        namespace: of the store.
        version: of the server, since older ones refuse what they do not know. Rules for the oldest
            are taken by all.
        is_cluster: whether the server is one of a cluster.
    """
    words = (*COMMANDS, *OF_A_CLUSTER) if is_cluster else COMMANDS
    known = [word for word in words if version >= SINCE.get(word, (0,))]
    own = pattern(prefix(namespace))
    if version < (7, 0):  # their rules know no subcommands of commands that are not listed whole
        known = list(dict.fromkeys(word.partition("|")[0] for word in known))
    # Redis 6.2 gives a new user all channels, and takes none besides.
    return " ".join(
        [f"~{own}", "resetchannels", f"&{own}", "-@all", *(f"+{word}" for word in known)]
    )


def warnings(server: Server, key: str) -> tuple[str, ...]:
    """Which promises do not hold on this server, in plain words."""
    info = _info(server, key)
    if info is None:
        found = ["this user may not call INFO: version, persistence and role cannot be checked"]
    else:
        found = [*_version(info), *_persistence(server, key, info), *_role(info), *_memory(info)]
    return (*found, *_eviction(server, key), *_clock(server, key))


def _info(server: Server, key: str) -> dict[str, Any] | None:
    try:
        return dict(server.node(key).info())
    except (rx.ResponseError, rx.NoPermissionError):
        return None


def version_of(server: Server, key: str) -> tuple[int, ...]:
    """The version of a server; the oldest supported one if it may not be read."""
    info = _info(server, key)
    return OLDEST if info is None else _server_version(info)


def _server_version(info: dict[str, Any]) -> tuple[int, ...]:
    """The version of Redis that the server is, or says it is compatible with."""
    return tuple(int(part) for part in re.findall(r"\d+", str(info.get("redis_version", "0"))))


def _version(info: dict[str, Any]) -> list[str]:
    if _server_version(info) >= OLDEST:
        return []
    return [f"the server is Redis {info.get('redis_version')}: 6.2 or newer is needed"]


def _persistence(server: Server, key: str, info: dict[str, Any]) -> list[str]:
    if int(info.get("aof_enabled", 0)):
        return _written_late(setting(server, "appendfsync", key))
    save = setting(server, "save", key)
    kept = "the server keeps snapshots only: what came after the last one is lost when it dies"
    if not save:
        unsure = "" if save == "" else " (whether it keeps snapshots cannot be checked)"
        kept = f"the server keeps no append-only file{unsure}: all is lost when it stops"
    return [f"{kept}; set `appendonly yes`"]


def _written_late(policy: str | None) -> list[str]:
    if policy in {"always", "everysec"}:
        return []
    if policy is None:
        return ["this user may not call CONFIG GET: what a crash loses (appendfsync) is not known"]
    return [
        (
            f"appendfsync is {policy}: the append-only file reaches the disk as the system likes, "
            "and what did not is lost when the machine stops; set it to everysec or always"
        )
    ]


def _memory(info: dict[str, Any]) -> list[str]:
    limit, used = int(info.get("maxmemory") or 0), int(info.get("used_memory") or 0)
    if not limit or used < NEARLY_FULL * limit:
        return []
    return [
        (
            f"{used / limit:.0%} of maxmemory ({limit} bytes) are used: at 100% nothing new is "
            "taken (StoreFull); raise it, or make room"
        )
    ]


def _role(info: dict[str, Any]) -> list[str]:
    if info.get("role") in {None, "master"}:
        return []
    return ["the server is a replica: nothing can be written there; give the URL of its master"]


def _eviction(server: Server, key: str) -> list[str]:
    policy = setting(server, "maxmemory-policy", key)
    if policy is None:
        return ["this user may not call CONFIG GET: the eviction policy cannot be checked"]
    if policy == "noeviction":
        return []
    danger = f"maxmemory-policy is {policy}: short of memory the server deletes messages and locks"
    return [f"{danger}; set it to noeviction"]


def _clock(server: Server, key: str) -> list[str]:
    seconds, micros = server.node(key).time()
    apart_ms = int(seconds) * 1000 + int(micros) // 1000 - now_ms()
    if abs(apart_ms) <= CLOCKS_APART_MS:
        return []
    return [
        (
            f"the server's clock is {apart_ms / 1000:+.1f} s from this machine's: an eta that is "
            "computed here comes that much too early or late there"
        )
    ]


def guarantees(server: Server, key: str, durable: str | None) -> tuple[str, ...]:
    """The guarantees that hold, for the start banner; what is unknown is among the warnings."""
    info = _info(server, key) or {}
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version") or "of unknown version"
    return (
        f"{name} {version}: every step is atomic, every commit is fenced",
        *_kept(server, key, info),
        *([f"calls return when durable={durable!r} is confirmed"] if durable else []),
    )


def _kept(server: Server, key: str, info: dict[str, Any]) -> list[str]:
    if not int(info.get("aof_enabled", 0)):
        return []
    policy = setting(server, "appendfsync", key)
    if policy == "always":
        return ["what was acknowledged survives a crash of the server (appendfsync always)"]
    if policy == "everysec":
        return ["a crash of the server loses at most about a second (appendfsync everysec)"]
    return []
