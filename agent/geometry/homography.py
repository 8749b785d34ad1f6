"""From the picture's plane to the ground's."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from agent.geometry.polygons import Float64Array


def homography(picture: ArrayLike, ground: ArrayLike) -> Float64Array:
    """The plane projective map that takes four points to four others.

    Args:
        picture: (4, 2), no three on one line.
        ground: (4, 2), where they are to go, no three on one line.

    Returns:
        (3, 3); the mean of the four points gets the third coordinate 1.

    Raises:
        ValueError: another shape, or three points on one line.

    Source: R. Hartley, A. Zisserman, Multiple View Geometry in Computer Vision, 2nd ed., section 4.1 (the
    inhomogeneous solution, with the third coordinate of the picture's mean point set to 1).
    """
    source, target = np.asarray(picture, np.float64), np.asarray(ground, np.float64)
    if source.shape != (4, 2) or target.shape != (4, 2):
        raise ValueError(f"expected two arrays of shape (4, 2), got {source.shape} and {target.shape}")
    origin, goal = source.mean(axis=0), target.mean(axis=0)
    scale, size = np.abs(source - origin).max(), np.abs(target - goal).max()
    for name, points, extent in (("picture", source, scale), ("ground", target, size)):
        for left_out in range(4):
            (ax, ay), (bx, by), (cx, cy) = np.delete(points, left_out, axis=0)
            if abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) <= 1e-9 * extent**2:
                raise ValueError(f"{name}: expected no three of the four points on one line")
    rows = []
    for (x, y), (u, v) in zip((source - origin) / scale, (target - goal) / size, strict=True):
        rows.append((x, y, 1, 0, 0, 0, -u * x, -u * y))
        rows.append((0, 0, 0, x, y, 1, -v * x, -v * y))
    system, values = np.array(rows), ((target - goal) / size).reshape(-1)
    inner = np.append(np.linalg.solve(system, values), 1.0).reshape(3, 3)
    normalise = np.array([[1 / scale, 0, -origin[0] / scale], [0, 1 / scale, -origin[1] / scale], [0, 0, 1]])
    restore = np.array([[size, 0, goal[0]], [0, size, goal[1]], [0, 0, 1]])
    total: Float64Array = restore @ inner @ normalise
    return total


def project(matrix: Float64Array, x: Float64Array, y: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Where points of the picture lie on the ground.

    Args:
        matrix: (3, 3), of `homography`.
        x, y: of the same shape.

    Returns:
        x and y on the ground, of that shape; NaN at and beyond the horizon.
    """
    across = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
    along = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
    depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    depth = np.where(depth > 1e-12, depth, np.nan)
    return across / depth, along / depth
