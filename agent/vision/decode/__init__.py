"""From a detector's output tensors to boxes; pure functions, the same for agent, models and converter.

The roles that an `OutputSpec` may give an output, by decoder (C classes, K cells; the axis that holds
4, 1 or C may be the last one, or the one after the batch):

| decoder | roles | a box is | score |
| --- | --- | --- | --- |
| ssd-postprocess | boxes, classes, scores, count | ymin, xmin, ymax, xmax in 0..1 | as given |
| yolov5 | boxes, objectness, scores | cx, cy, w, h · box_scale | objectness · class |
| yolov8 | boxes, scores | cx, cy, w, h · box_scale | class |
| yolox | boxes, objectness, scores | (cell + xy) · stride, exp(wh) · stride | objectness · class |
| fastestdet | objectness, boxes, scores | (cell + tanh(xy)) · stride, σ(wh) · input | obj^0.6 · class^0.4 |
| yunet | boxes, objectness, scores | as yolox | √(objectness · class) |
| anchor-free | boxes, scores | left, top, right, bottom from the centre, strides | class |
| end-to-end | predictions (6) | xmin, ymin, xmax, ymax · box_scale, score, class | as given |

One output may hold all the roles of a decoder, in the order above, as "predictions". Widths: boxes 4,
objectness 1, scores C.

Grid decoders (yolox, fastestdet, yunet, anchor-free) take each role as one output for all strides, in the
order of `ModelSpec.strides`, or as one output per stride (`OutputSpec.stride`).
"""
