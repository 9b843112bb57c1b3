"""What a delivery's bytes say, by its content type, encoding and compression; and nothing else.

Nothing is guessed: what does not say what it is, or may run code when it is read (pickle, YAML), is
refused. What is compressed is never expanded beyond a limit.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import importlib
import lzma
import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
from kombu.utils import json as kombu_json

from reliable_tasks.core.texts import shown
from reliable_tasks.errors import MessageRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from reliable_tasks.contrib.bridge.sources import Delivery

__all__ = ["content_of"]

_JSON: Final = frozenset({"application/json", "json"})
_MSGPACK: Final = frozenset({"application/x-msgpack", "application/msgpack", "msgpack"})
_UNSAFE: Final = {
    "application/x-python-serialize": "pickle",
    "pickle": "pickle",
    "application/x-yaml": "YAML",
    "yaml": "YAML",
}
_REMEDY: Final = "let the producer send JSON or msgpack (task_serializer='json')"
_GZIP_OR_ZLIB: Final = 47
"""zlib's number for: take either header."""
_AS_IT_IS: Final = frozenset({None, "", "binary", "utf-8", "us-ascii", "ascii"})
_TYPED: Final = (b"__type__", b"\\u005f", b"\\u005F")
"""One of these is in each text that has values of kombu's own kinds, such as times."""
_BROTLI_REMEDY: Final = "install Brotli 1.2 or later, which can stop at a limit"


def content_of(delivery: Delivery, limit: int) -> Any:
    """The value that a delivery's body has, of at most `limit` bytes.

    Raises:
        MessageRefused: it cannot be understood; the text says what to do.
    """
    if delivery.fault:
        raise MessageRefused(delivery.fault)
    kind, _, rest = str(delivery.content_type or "").partition(";")
    kind = kind.strip().lower()
    if kind in _UNSAFE:
        raise MessageRefused(
            f"its body is {_UNSAFE[kind]}, which may run code when it is read; {_REMEDY}"
        )
    if kind not in _JSON | _MSGPACK:
        what = f"content type {shown(delivery.content_type)}" if kind else "no content type"
        raise MessageRefused(f"it has {what}, so nobody can tell what its body is; {_REMEDY}")
    body = _expanded(delivery, limit)
    if len(body) > limit:
        raise MessageRefused(_too_large(f"its body has {len(body):,} bytes", limit))
    if kind in _MSGPACK:
        return _unpacked(body)
    charset = rest.partition("charset=")[2].strip().strip('"')
    return _parsed(body, charset or delivery.content_encoding)


def _too_large(what: str, limit: int) -> str:
    return f"{what}, more than max_message_bytes={limit:,}; raise the setting, or send a reference"


def _unpacked(body: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MessageRefused(f"its body is not msgpack: {error}; {_REMEDY}") from None


def _parsed(body: bytes, encoding: object) -> Any:
    name = str(encoding).lower() if encoding else None
    try:
        text = body.decode() if name in _AS_IT_IS else codecs.decode(body, name or "utf-8")
    except (LookupError, TypeError):
        raise MessageRefused(
            f"its content encoding {shown(encoding)} is unknown; let the producer send UTF-8"
        ) from None
    except ValueError as error:
        raise MessageRefused(f"its body is not {name or 'UTF-8'}: {error}; {_REMEDY}") from None
    if name in _AS_IT_IS and not any(mark in body for mark in _TYPED):
        with contextlib.suppress(msgspec.MsgspecError, RecursionError):
            return msgspec.json.decode(body)
    try:  # what it does not take, such as NaN, or values of kombu's own kinds
        return kombu_json.loads(text)
    except Exception as error:  # noqa: BLE001 - kombu's own types raise anything at values that are not theirs
        raise MessageRefused(f"its body is not JSON: {shown(str(error))}; {_REMEDY}") from None


# Compression --------------------------------------------------------------------------------------


def _expanded(delivery: Delivery, limit: int) -> bytes:
    method = delivery.headers.get("compression")
    if not method:
        return delivery.body
    expand = _METHODS.get(method) if isinstance(method, str) else None
    if expand is None:
        known = "gzip, bzip2, lzma, zstd, brotli"
        raise MessageRefused(f"its compression {shown(method)} is unknown; known are {known}")
    try:
        body = expand(delivery.body, limit + 1)
    except MessageRefused:
        raise
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        raise MessageRefused(f"its body is not {method}: {error!r}") from None
    if len(body) > limit:
        raise MessageRefused(_too_large("its body, expanded, is larger", limit))
    return body


def _whole(body: bytes, finished: bool, most: int) -> bytes:
    if not finished and len(body) < most:
        raise ValueError("it is cut off")
    return body


def _zlib(body: bytes, most: int) -> bytes:
    expander = zlib.decompressobj(_GZIP_OR_ZLIB)
    return _whole(expander.decompress(body, most), expander.eof, most)


def _bz2(body: bytes, most: int) -> bytes:
    expander = bz2.BZ2Decompressor()
    return _whole(expander.decompress(body, most), expander.eof, most)


def _lzma(body: bytes, most: int) -> bytes:
    expander = lzma.LZMADecompressor(memlimit=1 << 28)
    return _whole(expander.decompress(body, most), expander.eof, most)


def _zstd(body: bytes, most: int) -> bytes:
    expander = _library("zstd", "compression.zstd", "backports.zstd").ZstdDecompressor()
    return _whole(expander.decompress(body, most), expander.eof, most)


def _brotli(body: bytes, most: int) -> bytes:
    expander = _library("brotli", "brotli", "brotlicffi").Decompressor()
    try:
        return _whole(
            expander.process(body, output_buffer_limit=most), expander.is_finished(), most
        )
    except TypeError:
        raise MessageRefused(f"its body is brotli; {_BROTLI_REMEDY}") from None


def _library(method: str, *names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise MessageRefused(f"its body is {method}; install {names[-1]} where the bridge runs")


_METHODS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    **dict.fromkeys(("application/x-gzip", "gzip", "zlib"), _zlib),
    **dict.fromkeys(("application/x-bz2", "bzip2", "bzip"), _bz2),
    **dict.fromkeys(("application/x-lzma", "lzma", "xz"), _lzma),
    **dict.fromkeys(("application/zstd", "zstd", "zstandard"), _zstd),
    **dict.fromkeys(("application/x-brotli", "brotli"), _brotli),
}
