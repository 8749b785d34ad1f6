"""Changing a float `.tflite` before it is quantised: outputs split, weights equalised, biases
corrected, ranges written.
"""
