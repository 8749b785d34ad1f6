from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.data.scene.compose import SceneOptions, random_scene
from models.data.scene.motion import ACTIONS, Action
from models.data.scene.render import Renderer, Scene
from models.data.scene.truth import LABELS


def test_frame_is_the_same_for_the_same_seed_in_any_order() -> None:
    options = SceneOptions(size=(160, 96))
    first, second = Renderer(random_scene(11, options)), Renderer(random_scene(11, options))
    second.frame(3.0)
    one, two = first.frame(1.5), second.frame(1.5)
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.truth.boxes, two.truth.boxes)
    assert not np.array_equal(one.image, Renderer(random_scene(12, options)).frame(1.5).image)


@pytest.mark.parametrize("actor", [1, 2])
def test_box_is_where_the_actor_changes_the_picture(street: Scene, actor: int) -> None:
    """Without noise and shadow, a frame differs from the empty one inside the box alone, up to its sides."""
    alone = replace(street, props=(), actors=tuple(item for item in street.actors if item.id == actor))
    empty = replace(alone, actors=())
    shot = Renderer(alone).frame(1.0)
    changed = (shot.image != Renderer(empty).frame(1.0).image).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    np.testing.assert_allclose(shot.truth.clipped_boxes(street.camera.size)[0], found, atol=1.5)


def test_visibility_falls_behind_a_pillar_and_rises_again(street: Scene) -> None:
    renderer = Renderer(street)
    seen = [float(renderer.frame(time).truth.visibility[0]) for time in np.arange(0.5, 5.0, 0.1)]
    assert seen[0] > 0.95
    assert seen[-1] > 0.95
    assert min(seen) < 0.6


def test_nearer_actor_hides_the_farther_one(street: Scene) -> None:
    """The walker stands before the car at some time; then the car loses pixels and the walker none."""
    renderer = Renderer(replace(street, props=()))
    truths = [renderer.frame(time).truth for time in np.arange(0.2, 3.5, 0.1)]
    both = [truth for truth in truths if len(truth.ids) == 2]
    assert min(float(truth.visibility[1]) for truth in both) < 0.97
    assert all(float(truth.visibility[0]) > 0.99 for truth in both)


def test_actor_that_leaves_the_picture_is_seen_in_part(street: Scene) -> None:
    renderer = Renderer(street)
    parts = [
        float(truth.visibility[truth.ids == 2][0])
        for time in np.arange(0.0, 3.9, 0.1)
        if 2 in (truth := renderer.frame(time).truth).ids
    ]
    assert max(parts) > 0.95
    assert min(parts) < 0.6


def test_truth_names_labels_and_actions(street: Scene) -> None:
    truth = Renderer(street).frame(1.0).truth
    assert [LABELS[label] for label in truth.labels] == ["person", "car"]
    assert [ACTIONS[action] for action in truth.actions] == [Action.WALK, Action.DRIVE]
    np.testing.assert_allclose(truth.speeds_m_s, [1.4, 5.0], rtol=0.02)
    feet = (truth.boxes[0, 0] + truth.boxes[0, 2]) / 2, truth.boxes[0, 3]
    np.testing.assert_allclose(truth.feet[0], feet, atol=6)


@pytest.mark.parametrize("place", ["street", "yard", "indoor"])
@pytest.mark.parametrize("night_part", [0.0, 1.0])
def test_random_scene_is_darker_at_night(place: str, night_part: float) -> None:
    options = SceneOptions(size=(96, 64), places=(place,), night_part=night_part)  # type: ignore[arg-type]
    means = [float(Renderer(random_scene(seed, options)).frame(2.0).image.mean()) for seed in range(4)]
    if place != "indoor":
        assert (np.mean(means) < 90) == (night_part == 1.0)
    assert all(8 < mean < 245 for mean in means)
