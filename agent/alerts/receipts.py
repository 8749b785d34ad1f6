"""Receipts: a receiver tells a device which alerts it has, on the device's `acknowledged` topic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from agent.alerts.messages import Message
from agent.alerts.schema import Part, Ulid
from agent.alerts.topics import Topics
from agent.errors import DataError

MAX_RECEIPT_BYTES = 65_536
MAX_IDS = 1000


class Receipt(Part):
    """Alerts that a receiver has, so that the device may forget them."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Version of this payload."""
    ids: Annotated[tuple[Ulid, ...], Field(max_length=MAX_IDS)]
    """`id` of each alert; an empty list says that a receiver has come, and asks for what waits."""

    def to_json(self) -> bytes:
        """As sent."""
        return self.model_dump_json(by_alias=True).encode()


def parse_receipt(message: Message) -> Receipt:
    """The receipt that a message holds.

    Raises:
        DataError: retained, too large, or no receipt.
    """
    where, size = message.topic, len(message.payload)
    if message.retain:
        raise DataError(where, "expected no retained message, got one")
    if size > MAX_RECEIPT_BYTES:
        raise DataError(where, f"expected {MAX_RECEIPT_BYTES} bytes at most, got {size}")
    try:
        return Receipt.model_validate_json(message.payload)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        raise DataError(where, f'expected {{"ids": ["…"]}}, got a fault: {fault["msg"]}') from error


class Receipts:
    """A receiver's side: alerts that were taken and that their devices are not told of yet.

    Args:
        root: `broker.topic_root`.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._ids: dict[str, list[str]] = {}

    def add(self, device: str, *ids: str) -> None:
        """Tell a device of alerts with the next `send`; of none, to ask it for what waits."""
        self._ids.setdefault(device, []).extend(ids)

    def send(self, publish: Callable[[Message], object]) -> None:
        """Tell the devices; when `publish` raises, all of it is told with the next call."""
        for device, ids in self._ids.items():
            topic = Topics(self._root, device).acknowledged
            for start in range(0, max(len(ids), 1), MAX_IDS):
                publish(Message(topic, Receipt(ids=tuple(ids[start : start + MAX_IDS])).to_json()))
        self._ids.clear()
