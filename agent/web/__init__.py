"""The live page: pictures, incidents, health and the editor of zones, in a browser."""
