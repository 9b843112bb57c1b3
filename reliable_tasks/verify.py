"""Check the audit trail against what it must show; see `audit.verify`."""

from __future__ import annotations

from .audit.verify import INVARIANTS, NEED_FULL_TRAIL, Violation, verify

__all__ = ["INVARIANTS", "NEED_FULL_TRAIL", "Violation", "verify"]
