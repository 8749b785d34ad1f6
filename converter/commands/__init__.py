"""The commands of `edgetrack-convert`, one module each, light to import."""
