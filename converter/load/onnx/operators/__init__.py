"""What each ONNX operator becomes in TensorFlow; `table` lists them all."""
