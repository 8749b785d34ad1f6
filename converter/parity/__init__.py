"""Whether an int8 model still does the job of the float one, measured as its task measures it."""
