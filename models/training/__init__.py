"""Training loops. TensorFlow is imported when one starts."""
