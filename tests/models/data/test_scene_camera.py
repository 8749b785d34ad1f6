from __future__ import annotations

import math

import numpy as np
import pytest

from models.data.scene.camera import Camera


def test_on_ground_and_project_are_inverse(camera: Camera) -> None:
    fractions = np.random.default_rng(0).uniform([0.0, 0.4], [1.0, 1.0], (50, 2)).astype(np.float32)
    ground = camera.on_ground(fractions)
    points = np.stack([ground[:, 0], np.zeros(50, np.float32), ground[:, 1]], axis=1)
    pixels, depth = camera.project(points)
    np.testing.assert_allclose(pixels / np.array(camera.size), fractions, atol=1e-4)
    assert (depth > 0).all()


def test_project_gives_size_over_distance() -> None:
    camera = Camera((640, 360), 2.0, 0.0, 0.0, math.radians(60))
    ends = np.array([[0.0, 0.0, 10.0], [0.0, 2.0, 10.0], [0.0, 0.0, 20.0], [0.0, 2.0, 20.0]], np.float32)
    pixels, _ = camera.project(ends)
    near, far = pixels[0, 1] - pixels[1, 1], pixels[2, 1] - pixels[3, 1]
    assert near == pytest.approx(camera.focal_px * 2.0 / 10.0, rel=1e-5)
    assert near == pytest.approx(2 * far, rel=1e-5)


def test_rays_meet_the_pixels_they_belong_to(camera: Camera) -> None:
    rays = camera.rays()
    points = camera.position + rays[::37, ::41].reshape(-1, 3) * 7.0
    pixels, depth = camera.project(points)
    rows, columns = np.mgrid[0:192:37, 0:320:41]
    np.testing.assert_allclose(pixels, np.stack([columns.ravel(), rows.ravel()], axis=1) + 0.5, atol=1e-2)
    np.testing.assert_allclose(depth, 7.0, rtol=1e-5)


def test_on_ground_refuses_the_sky(camera: Camera) -> None:
    with pytest.raises(ValueError, match="below the horizon"):
        camera.on_ground(np.array([[0.5, 0.0]], np.float32))
