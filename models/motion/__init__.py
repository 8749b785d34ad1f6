"""The motion model: generated trajectories, training, and forecasts measured against truth."""
