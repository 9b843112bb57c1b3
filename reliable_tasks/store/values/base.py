"""What all values are, and what a store is opened with."""

import msgspec

__all__ = ["Health", "StoreOptions", "Value"]


class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Frozen, made with keywords only, and never part of a reference cycle."""


class StoreOptions(Value, frozen=True, kw_only=True):
    """What a store is opened with; the defaults are those of `config.Settings`."""

    namespace: str = "reliable_tasks"
    audit: str = "default"
    audit_ttl_ms: int = 604_800_000
    max_audit_rows: int = 1_000_000
    max_audit_bytes: int = 268_435_456
    max_message_bytes: int = 1_048_576
    max_input_bytes: int = 67_108_864
    max_batch: int = 1000
    max_rows: int = 10_000
    stage_ttl_ms: int = 600_000
    busy_timeout_ms: int = 20_000
    durable: str | None = None


class Health(Value, frozen=True, kw_only=True):
    """Which promises hold on what a store stands on, and which do not, in plain words."""

    holds: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
