"""The Prometheus endpoint, as a user configures it."""

from __future__ import annotations

from agent.settings import Section
from agent.web.address import Address


class MetricsSettings(Section):
    """The figures of `health`, for Prometheus."""

    enabled: bool = False
    """Whether they are served."""
    listen: Address | None = None
    """`host:port` of an endpoint of its own, without a password. Left out: the live page serves `/metrics`
    with its password; without a page 127.0.0.1:9464 does."""
