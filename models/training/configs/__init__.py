"""Settings of the trainings that the documentation shows; data only."""
