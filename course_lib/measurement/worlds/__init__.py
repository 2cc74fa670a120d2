"""Models small enough to be solved exactly, in float64 and nats: what every measurement is held against."""
