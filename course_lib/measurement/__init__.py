"""What a trained model knows, and how far back it looks."""
