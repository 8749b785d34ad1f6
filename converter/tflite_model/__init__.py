"""A `.tflite` file as plain records, read without running it."""
