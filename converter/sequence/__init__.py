"""Recurrent, temporal and volumetric layers written with the operators that int8 and an Edge TPU have."""
