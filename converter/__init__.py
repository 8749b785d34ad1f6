"""Trained CNN and LSTM models in, proven int8 TFLite for CPU and Edge TPU out."""
