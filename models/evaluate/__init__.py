"""How well models do, judged by the field's own tools."""
