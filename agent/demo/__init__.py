"""The main job on a bundled clip: what `make demo` runs."""
