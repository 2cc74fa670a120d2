"""Autoregressive models, encoders, and the VAE that joins them."""
