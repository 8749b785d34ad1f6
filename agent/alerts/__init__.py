"""Alerts: from a rule's finding to the broker's acknowledgement, and to those who receive it."""
