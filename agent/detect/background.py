"""Which pixels are not background, in spite of noise, shadows and a camera that changes its exposure."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from agent.detect.settings import MotionSettings
from agent.records import ImageArray

_BACKGROUND, _SHADOW, _OBJECT = 0, 127, 255  # what OpenCV's subtractors write
_BACKGROUND_SHARE = 0.9  # MOG2's default: components that make up this weight are background
_MAX_STEP_S = 1.0  # a gap between frames teaches no more than this
_STEADY_EXPOSURE = 0.05  # of log gain: below it the exposure is taken as unchanged
_LASTING_S = 3.0  # an exposure that stays for longer is that of the scene, not of a vehicle that crosses it
_OTHER_LIGHT = math.log(2.0)  # of log gain: beyond it a correction costs too much contrast to go on with it
_SWAY = 0.007  # of the width: what a camera on a pole moves by
_GREY, _COLOURED = 1.0, 2.0  # mean spread of the channels, grey levels: of infrared below, not of asphalt
_COLOUR_EVERY_S = 1.0
_VARIANCES = 16.0  # squared standard deviations, MOG2's default


class Background:
    """A background model of one camera.

    A Gaussian mixture per pixel (Zivkovic 2004, as in OpenCV's MOG2, with its shadow test) behind a
    correction of exposure: a bright vehicle makes the camera darken the whole picture, which would turn all
    of it into foreground. The median ratio of background to frame, over a grid of pixels, is the gain that
    undoes this. An exposure that stays is learnt behind its correction like any other, so that the mixture
    keeps what it knows of leaves and water; one that is very different becomes the background's own. Pixels
    within the range of the background right beside them count as background too: a camera that sways moves
    every edge, and gamma leaves a rest of an exposure corrected by a gain.

    Args:
        settings: contrast, absorption time, shadows.
        size: (width, height) of the pictures in px.
    """

    def __init__(self, settings: MotionSettings, size: tuple[int, int]) -> None:
        self.size = size
        self._settings = settings
        self._subtractor: Any = cv2.createBackgroundSubtractorMOG2(detectShadows=settings.remove_shadows)
        sway = max(round(size[0] * _SWAY), 1)
        self._around = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * sway + 1, 2 * sway + 1))
        self._step = max(round(min(size) / 48), 1)
        self._background: ImageArray | None = None
        self._grey = False
        self._coloured_s = -math.inf
        self._last_s = 0.0
        self._seen = 0
        self._start_over = False
        self._log_gain, self._log_gain_s = 0.0, 0.0
        """A correction, and since when it has been about the same."""
        self.started_s = 0.0
        """Time of the first frame that the model was learnt from."""

    def apply(self, image: ImageArray, time_s: float) -> ImageArray:
        """The foreground of one picture, which the model then learns.

        Args:
            image: (h, w, 3) uint8.
            time_s: of the picture; the learning rate follows from it, so that absorption takes as long at any
                frame rate.

        Returns:
            (h, w) uint8: 255 where an object is, 0 elsewhere.
        """
        if self._background is None or self._start_over:
            self._subtractor.apply(image, learningRate=1.0)
            self._background = self._subtractor.getBackgroundImage()
            self._seen, self._last_s, self.started_s, self._start_over = 1, time_s, time_s, False
            self._log_gain, self._log_gain_s = 0.0, time_s
            self._coloured_s = -math.inf
            self._tell_shadows(self._background)
            return np.zeros(image.shape[:2], np.uint8)
        gain = self._gain(image, self._background)
        log_gain = math.log(gain)
        flux = abs(log_gain)
        lasts_s = self._lasts(log_gain, time_s)
        steady = flux < _STEADY_EXPOSURE
        corrected = image if steady else np.asarray(cv2.convertScaleAbs(image, alpha=gain), np.uint8)
        # A gain amplifies the noise of the sensor with the picture.
        self._subtractor.setVarThreshold(_VARIANCES * max(gain * gain, 1.0))
        mask: ImageArray = self._subtractor.apply(
            corrected, learningRate=self._rate(time_s, 0.0 if lasts_s >= _LASTING_S else flux)
        )
        # What the correction leaves has become background by then, as anything that stays.
        learnt = lasts_s >= _LASTING_S + 2 * self._settings.absorb_s
        self._drop_light_and_sway(mask, corrected, 0.0 if learnt else flux)
        hides = cv2.countNonZero(mask) > self._settings.min_area * mask.size
        if flux >= _OTHER_LIGHT and lasts_s >= (self._settings.absorb_s if hides else _LASTING_S):
            self._take_exposure(image, mask, self._background, gain)
        self._background = self._subtractor.getBackgroundImage(self._background)
        self._seen += 1
        self._last_s = time_s
        self._tell_shadows(self._background)
        return np.asarray(cv2.threshold(mask, _SHADOW, _OBJECT, cv2.THRESH_BINARY)[1], np.uint8)

    def start_over(self) -> None:
        """Learn the background anew from the next picture."""
        self._start_over = True

    def _tell_shadows(self, background: ImageArray) -> None:
        """Look for shadows in colour only: in a grey picture (infrared) dark clothes pass for one."""
        if self._last_s - self._coloured_s < _COLOUR_EVERY_S:
            return
        self._coloured_s = self._last_s
        sampled = background[:: self._step, :: self._step].astype(np.int16)
        spread = float((sampled.max(axis=2) - sampled.min(axis=2)).mean())
        self._grey = spread < (_COLOURED if self._grey else _GREY)
        self._subtractor.setDetectShadows(self._settings.remove_shadows and not self._grey)

    def _gain(self, image: ImageArray, background: ImageArray) -> float:
        """Factor that brings the picture to the exposure of the background, in 1/4 .. 4."""
        step = self._step
        now, before = image[::step, ::step].astype(np.float32), background[::step, ::step]
        return min(max(float(np.median((before + np.float32(1)) / (now + np.float32(1)))), 0.25), 4.0)

    def _rate(self, time_s: float, flux: float) -> float:
        """Learning rate of MOG2 for this picture.

        A new component's weight after time t is 1 - e^(-rate · t); it is background once it exceeds
        1 - `_BACKGROUND_SHARE`. The first pictures are averaged evenly.
        """
        elapsed_s = min(max(time_s - self._last_s, 0.0), _MAX_STEP_S)
        steady = -math.log(_BACKGROUND_SHARE) * elapsed_s / self._settings.absorb_s
        first = 1.0 / (self._seen + 1) if time_s - self.started_s < self._settings.warm_up_s else 0.0
        # What a large correction leaves of a picture is no good teacher.
        return min(max(steady, first), 1.0) * math.exp(-10.0 * flux)

    def _lasts(self, log_gain: float, time_s: float) -> float:
        """Seconds for which the exposure has been about the same, and another than that of the background."""
        if abs(log_gain) < _STEADY_EXPOSURE or abs(log_gain - self._log_gain) >= _STEADY_EXPOSURE:
            self._log_gain, self._log_gain_s = log_gain, time_s
        return time_s - self._log_gain_s

    def _take_exposure(
        self, image: ImageArray, mask: ImageArray, background: ImageArray, gain: float
    ) -> None:
        """Learn the background anew at the exposure of a picture, and without the objects in it.

        Args:
            image: (h, w, 3) uint8, as the camera gave it.
            mask: (h, w) uint8, not 0 where it shows no background.
            background: (h, w, 3) uint8, as it was.
            gain: that brings it to the exposure of the background.
        """
        hidden = cv2.dilate(mask, self._around)[:, :, None] > 0
        before = cv2.convertScaleAbs(background, alpha=1.0 / gain)
        self._subtractor.apply(np.where(hidden, before, image), learningRate=1.0)

    def _drop_light_and_sway(self, mask: ImageArray, image: ImageArray, flux: float) -> None:
        """Take pixels for background that lie within what the background shows next to them.

        By the contrast that is asked for, and by the brightness that a correction of exposure may leave.
        """
        if self._background is None:
            return
        contrast = self._settings.contrast
        upper = cv2.LUT(cv2.dilate(self._background, self._around), _grey_table(1.0 + flux, contrast))
        lower = cv2.LUT(cv2.erode(self._background, self._around), _grey_table(1.0 / (1.0 + flux), -contrast))
        mask[cv2.inRange(image, lower, upper) > 0] = _BACKGROUND


def _grey_table(factor: float, offset: int) -> ImageArray:
    """Of each of the 256 grey levels: factor · level + offset, kept in 0..255."""
    return np.clip(np.arange(256) * factor + offset, 0, 255).astype(np.uint8)
