"""Networks, one file each, read like a paper's appendix. Keras is imported when one is built."""
