"""Generated video with exact truth: people and vehicles before procedural backgrounds.

World coordinates are metres: x to the right, y up, z away from the camera; the ground is y = 0. Everything
follows from a seed. NumPy and OpenCV only.
"""
