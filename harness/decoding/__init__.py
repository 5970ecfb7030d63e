"""Decoding: one loop from prompts to new tokens."""
