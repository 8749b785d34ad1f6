"""Edgetrack on the device: capture, detect, track, rules, alerts."""
