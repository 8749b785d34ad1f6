"""Whether a camera that delivers still shows what it usually shows: not black, covered, blurred or moved."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields

import numpy as np

from agent.capture.picture import Picture, measure, similarity
from agent.capture.status import SourceState
from agent.records import ImageArray

Fault = tuple[SourceState, str]
_MEASURES = tuple(field.name for field in fields(Picture))

_LOOKS = 10  # in `after_s`
_GOOD = 3  # looks in a row without a fault end it
_LEARN = 20  # looks before anything is compared with what is usual
_MEMORY = 120.0  # looks, about, of which the usual is the mean: two minutes with the default setting
_ADOPT = 30.0  # times `after_s`, after which a new view is the usual one
_EASE = 1.25  # how much better than its limit a picture must become to be well again

_BLACK = 20.0  # of 255: less than one pixel in a hundred is brighter
_BARE = 0.45  # grey levels a pixel at 80 × 60: no contour anywhere
_RICH = 16  # blocks with most detail, by which sharpness is judged
_BLURRED = 0.4  # of the usual detail over contour: a Gaussian blur of 2 to 3 px at 640 px width
_NOISIER = (1.5, 0.5)  # times and more than usual: weak light, in which nothing is said of sharpness
_FAINT = 0.4  # of the usual contour: fog, in which nothing is said of sharpness
_ANOTHER_VIEW = 0.35  # of the usual similarity with what is usual
_UNSTEADY = 0.4  # usual similarity below which a view is never twice the same: water, leaves, a ship
_STEADY = 0.5  # similarity with the look before above which a picture shows some place
_GONE = (0.3, 0.5)  # of the usual contour, in half of the blocks
_SNOW = (30.0, 5.0)  # detail, and times the contour: noise alone
_RELIT = 2.5  # times brighter or darker than usual
_GREY, _COLOURED = 1.5, 3.0  # below: infrared light; above: daylight


class PictureWatch:
    """Compares a picture now and then with what the camera usually shows, and remembers what is wrong.

    The usual is a running mean of the last minutes, learned while all is well, and learned afresh when the
    light changes at a stroke (a lamp, infrared by night). Slow changes, night, fog and snow, become usual.
    Contours decide over the view, since they are the same by day, by night and in fog; detail over contour
    decides over sharpness, since weak light takes from both alike.

    Pure bookkeeping: the caller brings the clock and the lock.

    Args:
        after_s: how long something must be wrong to count; 0 for nothing at all.
        faults: the states to tell of.
    """

    def __init__(self, after_s: float, faults: Collection[str]) -> None:
        self.fault: Fault | None = None
        """State and reason, while something is wrong."""
        self.found: Fault | None = None
        """What the last look found, which may yet pass."""
        self._after_s = after_s
        self._faults = faults
        self._usual = _Usual()
        self._last: Picture | None = None
        self._looked_s = -np.inf
        self._wrong_s: float | None = None
        self._kind, self._kind_s = SourceState.ONLINE, 0.0
        """What was found last, and since when."""
        self._relit_s: float | None = None
        self._good = 0

    def look(self, image: ImageArray, now_s: float) -> bool:
        """Look at a picture if it is time to; True when `fault` has changed.

        Args:
            image: (H, W, 3) uint8, BGR.
            now_s: monotonic.
        """
        away_s = now_s - self._looked_s
        if not self._after_s or away_s < self._after_s / _LOOKS:
            return False
        if away_s > self._after_s:  # it was away meanwhile
            self._wrong_s = self._relit_s = None
        self._looked_s = now_s
        picture = measure(image)
        relit = self._usual.relit(picture)
        before, self.found = self.fault, None
        found = self._judge(picture, relit)
        self._last = picture
        if found is not None and found[0] in self._faults:
            self.found = found
            self._wrong(found, now_s)
        else:
            self._well(picture, relit, now_s)
        return self.fault != before

    def _wrong(self, found: Fault, now_s: float) -> None:
        self._good, self._relit_s = 0, None
        if self._wrong_s is None:
            self._wrong_s = now_s
        if found[0] is not self._kind:
            self._kind, self._kind_s = found[0], now_s
        wrong_s = now_s - self._wrong_s
        if self.fault is None:
            self.fault = found if wrong_s >= self._after_s else None
        elif found[0] is not self.fault[0] and now_s - self._kind_s >= self._after_s:
            self.fault = found
        if found[0] is SourceState.MOVED and wrong_s >= _ADOPT * self._after_s:
            self._forget()

    def _well(self, picture: Picture, relit: bool, now_s: float) -> None:
        self._good += 1
        if self._good >= _GOOD:
            self.fault = self._wrong_s = None
        if not relit:
            self._relit_s = None
            if self._wrong_s is None:
                self._usual.learn(picture)
        elif self._relit_s is None:
            self._relit_s = now_s
        elif now_s - self._relit_s >= self._after_s:
            self._forget()

    def _forget(self) -> None:
        self.fault = self._wrong_s = self._relit_s = None
        self._usual = _Usual()

    def _judge(self, picture: Picture, relit: bool) -> Fault | None:
        ease = _EASE if self.fault is not None else 1.0
        steady = self._last is not None and similarity(picture.edges, self._last.edges) > _STEADY
        if picture.bright < _BLACK * ease and not steady:
            return SourceState.BLACK, f"the picture is black (grey level {picture.level:.0f} of 255)"
        if np.partition(picture.coarse, -_RICH)[-_RICH] < _BARE * ease and not steady:
            return SourceState.COVERED, "nothing is to be seen in the picture: covered, or in thick fog"
        usual = self._usual
        if usual.looks < _LEARN or usual.likeness < _UNSTEADY:
            return None
        if similarity(picture.edges, usual.mean.edges) < _ANOTHER_VIEW * ease * usual.likeness:
            return self._another_view(picture, steady, relit)
        sharpness = usual.sharpness(picture)
        if sharpness < _BLURRED * ease and not relit and not usual.clearer_than(picture):
            return SourceState.BLURRED, f"the picture has {sharpness:.0%} of its usual detail: out of focus"
        return None

    def _another_view(self, picture: Picture, steady: bool, relit: bool) -> Fault | None:
        """What it is that is not the usual view; None when it may be the same in another light."""
        detail, contour = float(np.median(picture.fine)), float(np.median(picture.coarse))
        if not steady and detail > _SNOW[0] and detail > _SNOW[1] * contour:
            return SourceState.GARBAGE, "the picture is noise"
        gone = float((picture.coarse < _GONE[0] * self._usual.mean.coarse).mean())
        if not steady or gone >= _GONE[1]:
            return SourceState.COVERED, "the usual view is gone: the lens is covered"
        return None if relit else (SourceState.MOVED, "another view than before: moved, or blocked")


class _Usual:
    """The running mean of what a camera shows."""

    def __init__(self) -> None:
        self.looks = 0
        self.likeness = 1.0
        """Mean similarity of a picture with the mean."""
        self._mean: Picture | None = None

    @property
    def mean(self) -> Picture:
        """Every measure's mean; only once something was learned."""
        if self._mean is None:
            raise LookupError("expected a picture to have been learned, got none")
        return self._mean

    def learn(self, picture: Picture) -> None:
        """Take a picture into the mean."""
        self.looks += 1
        mean, part = self._mean, max(1.0 / self.looks, 1.0 / _MEMORY)
        if mean is not None:
            self.likeness += part * (similarity(picture.edges, mean.edges) - self.likeness)
            picture = Picture(
                *(
                    getattr(mean, name) + part * (getattr(picture, name) - getattr(mean, name))
                    for name in _MEASURES
                )
            )
        self._mean = picture

    def relit(self, picture: Picture) -> bool:
        """Whether the light is plainly another, or the camera has changed to infrared or back."""
        if self._mean is None:
            return False
        levels = (picture.level + 1.0) / (self._mean.level + 1.0)
        colours = sorted((picture.colour, self._mean.colour))
        changed = colours[0] < _GREY and colours[1] > _COLOURED
        return changed or not 1.0 / _RELIT < levels < _RELIT

    def clearer_than(self, picture: Picture) -> bool:
        """Whether a picture has too much noise or too little contrast for its sharpness to be compared."""
        noisy = picture.noise > _NOISIER[0] * self.mean.noise + _NOISIER[1]
        return noisy or float(np.median(picture.coarse / (self.mean.coarse + 0.01))) < _FAINT

    def sharpness(self, picture: Picture) -> float:
        """Detail over contour against the usual: 1 is as ever, 0 no detail at all."""
        rich = np.argpartition(self.mean.fine, -_RICH)[-_RICH:]
        return float(np.median(picture.texture[rich] / (self.mean.texture[rich] + 0.01)))
