"""What tracks look like: decides between tracks that cross, and finds lost ones again.

A detection is looked at only where it matters: when it could belong to several tracks (or a track to several
detections), when it would start a track while one is lost nearby, and now and then to remember what a track
looks like.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from agent.records import FloatArray, ImageArray
from agent.track.association import NO_ROWS, Pairs, Rows, assign, gated, side_matrix
from agent.track.found import Found
from agent.track.kalman import CX, CY, Float64Array, H, P
from agent.track.lifecycle import HITS, LABELS, LAST, TrackTable
from agent.track.settings import TrackerSettings

_REFRESH_S = 0.5
"""So often a track that is seen alone is looked at."""
_MEMORY = np.float32(0.7)
"""Share of what was known when a track is looked at again."""
_ALONE_IOU = 0.05
"""Detections that overlap another one by more show part of someone else."""
_UNKNOWN = 0.5
"""Cosine of a pair whose track nobody has looked at yet."""
_AWAY_WEIGHT = 0.3
"""What the distance from the forecast counts against a pair, in full where its reach ends."""
_REACH, _REACH_PER_S = 0.7, 0.7
"""How far from its forecast a lost track is looked for, in box heights, and what each second adds."""
_MOST_HEIGHT_RATIO = 1.5


class Embedder(Protocol):
    """What turns boxes of a picture into vectors; `agent.detect.embedder.Embedder` is one."""

    length: int

    def __call__(self, image: ImageArray, boxes: NDArray[Any]) -> FloatArray: ...


class Appearance:
    """The memory of what tracks look like, one row per track of the table.

    Args:
        embed: (image, (N, 4) boxes xyxy px) to (N, D) vectors of length 1.
        settings: section `tracker` of the configuration.
    """

    def __init__(self, embed: Embedder, settings: TrackerSettings) -> None:
        self._embed, self._settings = embed, settings
        self._own_sides = side_matrix(1.0)
        self.looked_at = 0
        """Detections that were looked at since the start."""
        self.clear()

    def clear(self) -> None:
        """Forget all tracks."""
        self._vectors: FloatArray = np.zeros((0, self._embed.length), np.float32)
        """(N, D) of length 1; zeros where nothing is known."""
        self._looked_s: Float64Array = np.zeros(0)
        """(N,) when each was last looked at."""
        self.frame(None, np.zeros((4, 0)))

    def frame(self, image: ImageArray | None, z: Float64Array) -> None:
        """Begin a frame.

        Args:
            image: (H, W, 3) uint8 BGR; None: nothing is looked at.
            z: (4, M) the detections' centres and sizes.
        """
        self._image, self._z = image, z
        self._seen: FloatArray = np.zeros((z.shape[1], self._embed.length), np.float32)
        self._known = np.zeros(z.shape[1], np.bool_)

    def weigh(self, pairs: Pairs) -> Pairs:
        """Pairs that compete with others, their values raised by how alike they look."""
        if self._image is None or len(pairs.rows) < 2:
            return pairs
        contested = np.bincount(pairs.rows)[pairs.rows] > 1
        contested |= np.bincount(pairs.columns)[pairs.columns] > 1
        if not contested.any():
            return pairs
        value = pairs.value.copy()
        cosine = self._cosine(pairs.rows[contested], pairs.columns[contested])
        value[contested] += self._settings.appearance_weight * cosine
        return pairs._replace(value=value)

    def found_again(
        self, table: TrackTable, found: Found, rows: Rows, columns: Rows, time_s: float
    ) -> tuple[Rows, Rows]:
        """Lost tracks and detections that would else start a track, matched by looks within reach.

        N. Wojke et al., Simple Online and Realtime Tracking with a Deep Association Metric, ICIP 2017,
        likewise match by cosine what motion allows.

        Args:
            table: of N tracks, predicted to this frame.
            found: detections of this frame.
            rows, columns: (K,) tracks and detections that are matched already.
            time_s: now.

        Returns:
            (L,) tracks and (L,) detections that belong together.
        """
        lost, new = self._open(table, found, rows, columns)
        if self._image is None or not len(lost) or not len(new):
            return NO_ROWS, NO_ROWS
        track, other = table.motion[P][:, lost], found.z[:, new]
        away = np.hypot(track[CX, :, None] - other[CX], track[CY, :, None] - other[CY])
        away /= ((_REACH + _REACH_PER_S * (time_s - table.real[LAST][lost])) * track[H])[:, None]
        ratio = track[H, :, None] / other[H]
        near = (away <= 1) & (np.maximum(ratio, 1 / ratio) <= _MOST_HEIGHT_RATIO)
        if not self._settings.across_classes:
            near &= table.whole[LABELS][lost][:, None] == found.labels[new]
        i, j = near.nonzero()
        cosine = self._cosine(lost[i], new[j])
        pairs = Pairs(lost[i], new[j], cosine, cosine - _AWAY_WEIGHT * away[i, j])
        return assign(pairs.where(cosine >= self._settings.appearance_min_cosine))

    def _open(self, table: TrackTable, found: Found, rows: Rows, columns: Rows) -> tuple[Rows, Rows]:
        """Confirmed tracks without a detection that were looked at, and sure detections without a track."""
        lost = (table.whole[HITS] >= self._settings.confirm_hits) & self._vectors.any(axis=1)
        lost[rows] = False
        new = found.scores >= self._settings.birth_score
        new[columns] = False
        return lost.nonzero()[0], new.nonzero()[0]

    def observe(self, rows: Rows, columns: Rows, count: int, time_s: float) -> None:
        """Remember what tracks look like that are seen alone.

        Args:
            rows, columns: (K,) tracks and detections that belong together.
            count: of tracks in the table, new ones last.
            time_s: now.
        """
        new = count - len(self._looked_s)
        if new:
            self._vectors = np.concatenate((self._vectors, np.zeros((new, self._embed.length), np.float32)))
            self._looked_s = np.concatenate((self._looked_s, np.full(new, -np.inf)))
        if self._image is None or not len(rows):
            return
        due = self._looked_s[rows] <= time_s - _REFRESH_S
        due &= ~self._crowded()[columns]
        rows, columns = rows[due], columns[due]
        if not len(rows):
            return
        vectors, before = self._of(columns), self._vectors[rows]
        mixed = np.where(before.any(axis=1)[:, None], _MEMORY * before + (1 - _MEMORY) * vectors, vectors)
        self._vectors[rows] = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-12)
        self._looked_s[rows] = time_s

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Remove all tracks but those where `kept` (N,) is true."""
        self._vectors, self._looked_s = self._vectors[kept], self._looked_s[kept]

    def _crowded(self) -> NDArray[np.bool_]:
        """(M,) detections that overlap another one."""
        sides = self._own_sides @ self._z
        pairs = gated(sides, sides, _ALONE_IOU, 0.0)
        return np.bincount(pairs.rows, minlength=self._z.shape[1]) > 1

    def _cosine(self, rows: Rows, columns: Rows) -> Float64Array:
        """(K,) how alike tracks and detections look, -1..1."""
        vectors = self._vectors[rows]
        cosine = np.einsum("kd,kd->k", vectors, self._of(columns)).astype(np.float64)
        return np.where(vectors.any(axis=1), cosine, _UNKNOWN)

    def _of(self, columns: Rows) -> FloatArray:
        """(K, D) vectors of detections; each is looked at once."""
        missing = np.unique(columns[~self._known[columns]])
        if len(missing) and self._image is not None:
            centre, half = self._z[: CY + 1, missing].T, self._z[CY + 1 :, missing].T / 2
            boxes = np.concatenate((centre - half, centre + half), axis=1)
            self._seen[missing] = self._embed(self._image, boxes)
            self._known[missing] = True
            self.looked_at += len(missing)
        return self._seen[columns]

    def state(self) -> dict[str, Any]:
        """All of it, in JSON types."""
        looked_s = [None if at == -np.inf else at for at in self._looked_s.tolist()]
        return {"vectors": self._vectors.tolist(), "looked_s": looked_s}

    def load(self, state: Mapping[str, Any] | None, count: int) -> None:
        """Go on from what `state()` gave for `count` tracks; None: nobody looked at them yet.

        Raises:
            KeyError, TypeError, ValueError: it is not of that form.
        """
        if state is None:
            self._vectors = np.zeros((count, self._embed.length), np.float32)
            self._looked_s = np.full(count, -np.inf)
            return
        vectors = np.array(state["vectors"], np.float32).reshape(count, self._embed.length)
        looked_s = np.array([-np.inf if at is None else at for at in state["looked_s"]], np.float64)
        self._vectors, self._looked_s = vectors, looked_s.reshape(count)
