"""URLs as they may be shown: IP cameras carry passwords in every part of theirs."""

import re

_SECRET_KEY = re.compile(r"(user|usr|login|pass|pwd|token|key|secret|auth)\w*=", re.IGNORECASE)


def redact(source: str) -> str:
    """A source without what could be a secret; paths and devices come back unchanged.

    Gone are the user and password before the host (up to the last `@`, since passwords hold unescaped `@`
    and `/`), every value of the query, and path segments such as `user=admin_password=x` that some cameras
    ask for. Rather too much goes than too little.
    """
    scheme, separator, rest = source.partition("://")
    if not separator:
        return source
    before, at, after = rest.rpartition("@")
    rest = f"***@{after}" if at else before + after
    address, question, _ = rest.partition("?")
    segments = ["***" if _SECRET_KEY.search(segment) else segment for segment in address.split("/")]
    return f"{scheme}://{'/'.join(segments)}{question}{'***' if question else ''}"
