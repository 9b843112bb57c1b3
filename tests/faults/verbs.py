"""What a request to Redis means to the store: the verb whose script it runs."""

import functools
import hashlib
import importlib.resources
from collections.abc import Sequence

from reliable_tasks.store.redis.codec.scripts import script
from tests.faults.proxy import command_name

__all__ = ["verb_of"]


@functools.cache
def _verbs() -> dict[str, str]:
    folder = importlib.resources.files("reliable_tasks.store.redis") / "lua"
    names = [f.name.removesuffix(".lua") for f in folder.iterdir() if f.name.endswith(".lua")]
    return {script(name).sha: name for name in names}


def verb_of(words: Sequence[bytes]) -> str:
    """The verb's name for a call of its script, else the command in capitals."""
    name = command_name(words)
    if name == "EVALSHA":
        return _verbs().get(words[1].decode(), name)
    if name == "EVAL":
        return _verbs().get(hashlib.sha1(words[1]).hexdigest(), name)
    return name
