"""What both sides do with a model's pixels and numbers: ModelSpec, letterbox, quantise, decode, NMS."""
