"""One resumable fit loop."""
