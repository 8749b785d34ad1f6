"""Finding objects in single frames: by model, by motion, or by a model that motion wakes."""
