"""What tracked objects do: walk, run, stand, fall, loiter; from how their boxes moved."""
