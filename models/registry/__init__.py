"""Public models: where they come from, under which licence, and how they get onto a disk unharmed."""
