"""Lua scripts, one to a file, with shared fragments; and the call of one by its digest.

A script lies in a package's `lua` folder. A line `-- @include name.lua` stands for the fragment of
that name in the package's `lua/include`, or else in the one of `locks`. A fragment defines local
functions only, may include others, and comes into a script once however often it is asked for.
The lines `-- @rare` and `-- @end` are for those who include our fragments, and comments here.

A script declares one key, and builds the others from it. In a cluster that key's hash tag sends the
call to the node where all of them live.
"""

import functools
import hashlib
import importlib.resources
import re
from typing import Any, Protocol

from locks.redis_errors import NoScriptError

__all__ = ["AsyncExecutor", "Executor", "Pipeline", "Script", "load_script"]

_INCLUDE = re.compile(r"^-- @include (\S+)\n", re.MULTILINE)
_HOME = "locks"


class Executor(Protocol):
    """What a script needs of a client: redis.Redis and RedisCluster have it."""

    def execute_command(self, *args: Any) -> Any:
        """Send one command and return its reply."""


class AsyncExecutor(Protocol):
    """What a script needs of an asyncio client: redis.asyncio's Redis and RedisCluster have it."""

    async def execute_command(self, *args: Any) -> Any:
        """Send one command and return its reply."""


class Pipeline(Protocol):
    """What a script needs of a redis-py pipeline."""

    scripts: set[Any]

    def execute_command(self, *args: Any) -> Any:
        """Queue one command."""


@functools.cache
def load_script(package: str, filename: str) -> "Script":
    """The script `<package>/lua/<filename>` with its fragments in place.

    Args:
        package: the dotted name of the package that has the `lua` folder, such as "locks".
        filename: such as "lock_acquire.lua".

    Raises:
        FileNotFoundError: the script, or a fragment that it includes, is not there.
    """
    text = (importlib.resources.files(package) / "lua" / filename).read_text("utf-8")
    return Script(filename, _resolve(package, text, set()))


def _resolve(package: str, text: str, seen: set[str]) -> str:
    def fragment(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in seen:
            return ""
        seen.add(name)
        return _resolve(package, _read_fragment(package, name), seen)

    return _INCLUDE.sub(fragment, text)


def _read_fragment(package: str, name: str) -> str:
    for home in (package, _HOME):
        path = importlib.resources.files(home) / "lua" / "include" / name
        if path.is_file():
            return path.read_text("utf-8")
    raise FileNotFoundError(f"no fragment {name!r} in lua/include of {package} or {_HOME}")


class Script:
    """A script's text and the ways to call it.

    Args:
        name: what it is called in messages.
        text: the Lua source, includes resolved.

    Attributes:
        script: the source (the name that redis-py's pipelines know).
        sha: its digest, under which the server keeps it.
    """

    __slots__ = ("name", "script", "sha")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.script = text
        self.sha = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324 - Redis names them so

    def __repr__(self) -> str:
        return f"<Script {self.name} {self.sha[:8]}>"

    def __call__(self, client: Executor, key: str, *args: Any) -> Any:
        """Run the script; a server that does not know it is sent its text.

        Args:
            client: a redis.Redis or RedisCluster.
            key: the one declared key.
            args: the script's ARGV.
        """
        try:
            return client.execute_command("EVALSHA", self.sha, "1", key, *args)
        except NoScriptError:
            return client.execute_command("EVAL", self.script, "1", key, *args)

    async def call_async(self, client: AsyncExecutor, key: str, *args: Any) -> Any:
        """As a call, on a client of redis.asyncio."""
        try:
            return await client.execute_command("EVALSHA", self.sha, "1", key, *args)
        except NoScriptError:
            return await client.execute_command("EVAL", self.script, "1", key, *args)

    def queue(self, pipeline: Pipeline, key: str, *args: Any) -> None:
        """Queue a call in a pipeline of redis.Redis, which sends the server the text if it must."""
        pipeline.scripts.add(self)
        pipeline.execute_command("EVALSHA", self.sha, "1", key, *args)
