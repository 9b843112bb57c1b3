"""What the log has written."""

import io
import json
from typing import Any


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().removesuffix("\n").split("\n")]
