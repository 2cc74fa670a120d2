"""What training minimises, as named terms in nats per image."""
