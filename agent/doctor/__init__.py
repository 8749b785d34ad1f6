"""`edgetrack-agent doctor`: what is wrong on this device, and what to do next."""
