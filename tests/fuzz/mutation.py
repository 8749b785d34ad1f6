"""Damaged input: a seed, changed a little at a time."""

from __future__ import annotations

import random
import re

_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_TOKENS = (
    *(b"null", b"true", b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"-0.0", b"9" * 30, b"0x7fffffff"),
    *(b'""', b"{}", b"[]", b"[" * 200, b'{"a":' * 200, b"&a *a", b"!!python/object:os.system", b"<<: *x"),
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\\ud800", b"\r", b"\t", b"%s%n", b"../../etc", b"$(id)"),
    *(b"edgetrack/+/#", b": ", b"- ", b"\n", b'"', b",", b"\xe2\x80\xae", b"'; DROP TABLE alert;--"),
)


def mutate(seed: bytes, other: bytes, random_: random.Random) -> bytes:
    """`seed` after one to four changes: bits, bytes, slices, numbers, tokens, or a piece of `other`."""
    data = bytearray(seed)
    for _ in range(random_.randint(1, 4)):
        place = random_.randrange(len(data) + 1)
        change = random_.randrange(8)
        if change == 0 and data:
            data[place - 1] ^= 1 << random_.randrange(8)
        elif change == 1:
            data[place : place + random_.randrange(1, 9)] = random_.randbytes(random_.randrange(9))
        elif change == 2:
            del data[place : place + random_.randrange(1, 1 + max(1, len(data) // 4))]
        elif change == 3:
            data[place:place] = data[place : place + random_.randrange(1, 200)]
        elif change == 4:
            data[place:place] = random_.choice(_TOKENS)
        elif change == 5 and (numbers := list(_NUMBER.finditer(data))):
            number = random_.choice(numbers)
            data[number.start() : number.end()] = random_.choice(_TOKENS)
        elif change == 6:
            start = random_.randrange(len(other) + 1)
            data[place:place] = other[start : start + random_.randrange(1, 200)]
        elif change == 7:
            del data[place:]
    return bytes(data)


def spoil_head(seed: bytes, random_: random.Random, head: int = 4096) -> bytes:
    """A binary file with one to six changed bytes, words or cuts, most of them near its head or its end."""
    data = bytearray(seed)
    for _ in range(random_.randint(1, 6)):
        near = min(len(data), head)
        place = random_.randrange(near) if random_.random() < 0.5 else len(data) - 1 - random_.randrange(near)
        change = random_.randrange(4)
        if change == 0:
            data[place] ^= 1 << random_.randrange(8)
        elif change == 1:
            words = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, random_.getrandbits(32), len(data))
            place &= ~3
            data[place : place + 4] = random_.choice(words).to_bytes(4, "little")
        elif change == 2:
            data[place] = random_.choice((0, 1, 127, 128, 255))
        elif random_.random() < 0.2:
            del data[max(place, 16) :]
    return bytes(data)
