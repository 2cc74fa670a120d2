"""A small library of VAEs, autoregressive decoders and what to measure about them."""
