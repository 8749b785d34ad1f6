"""From a trained model's file to one float `.tflite` with batch 1 and static shapes, whatever wrote
the file.
"""
