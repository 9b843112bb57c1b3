"""Show settings without their secrets."""

import re
from collections.abc import Mapping

from reliable_tasks.core.texts import said

__all__ = ["mask_url", "masked", "shown"]

_SECRET = re.compile(r"(?i)pass(word|wd)?$|secret|token")
_SECRET_OPTION = re.compile(r"(?i)([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*")
_HOSTS = re.compile(r"(?:\[[^\]@]*\]|[^:/?;,@]*)(?::\d{0,5})?")
"""A host and its port: what follows a colon and is no port may be a password without its `@`."""


def mask_url(url: str) -> str:
    """Return `url` with what may be a password covered by `***`.

    What is not a URL is covered on the safe side: everything that might be a password goes.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    if scheme == "sqlite" and rest.startswith("/"):
        pass  # the path of a file: an @ or a colon is part of its name
    elif at and (colon or separator):
        # One word may be either: a password is often written where the user belongs.
        rest = f"{user}:***@{place}" if colon else f"***@{place}"
    elif separator:
        rest = ";".join(_without_stray_password(part) for part in rest.split(";"))
    return _SECRET_OPTION.sub(r"\1***", f"{scheme}{separator}{rest}")


def _without_stray_password(part: str) -> str:
    """Cover what stands where a port does and is none: a login whose `@` is missing."""
    scheme, separator, rest = part.rpartition("://")
    hosts = re.split(r"[/?]", rest, maxsplit=1)[0].split(",")
    if all(_HOSTS.fullmatch(host) for host in hosts):
        return part
    return f"{scheme}{separator}{rest.partition(':')[0]}:***"


def masked(value: object, key: str = "") -> object:
    """Return `value` as it may be shown: with the secrets in URLs and mappings covered."""
    if isinstance(value, str):
        if value and _SECRET.search(key):
            return "***"
        return mask_url(value) if "@" in value or "://" in value else value
    if isinstance(value, Mapping):
        return {k: masked(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return (
            type(value)([masked(v, key) for v in value]) if type(value) in {list, tuple} else value
        )
    return value


def shown(value: object, key: str = "") -> str:
    """Return the `repr` of `value` for a message, with secrets covered and of a bounded length."""
    text = said(masked(value, key))
    limit = 200
    return text if len(text) <= limit else f"{text[:limit]}…"
