"""Architectures, data, training and evaluation, and the bundles that ship."""
