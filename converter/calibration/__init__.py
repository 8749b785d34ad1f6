"""Calibration samples: pictures, videos and arrays, preprocessed as the agent will do it."""
