"""Boxes, polygons and segments as array functions."""
