"""The trained models: weights, cards, loading."""
