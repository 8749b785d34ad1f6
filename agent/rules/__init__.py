"""What is worth an alert: zones, tripwires and the rules over them."""
