"""Tracks of generated scenes and what they do."""
