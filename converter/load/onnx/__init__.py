"""A direct importer: an ONNX graph (NCHW) as TensorFlow operations (NHWC), without a layout transpose
on the way.
"""
