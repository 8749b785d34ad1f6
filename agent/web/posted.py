"""The JSON that a request brings."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from agent.errors import ConfigError

_WHERE = "request"
_MAX_DEPTH = 16


async def posted(request: Request) -> Any:
    """The content of a request.

    Raises:
        ConfigError: it is no JSON, or nested deeper than anything that the page sends.
    """
    try:
        content = json.loads(await request.body())
    except ValueError as error:
        raise ConfigError(_WHERE, f"expected JSON, got {error}") from error
    except RecursionError as error:
        raise _too_deep() from error
    level = [content]
    for _ in range(_MAX_DEPTH):
        level = [item for value in level for item in _items(value)]
    if level:
        raise _too_deep()
    return content


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _too_deep() -> ConfigError:
    return ConfigError(_WHERE, f"expected JSON of at most {_MAX_DEPTH} levels, got more")
