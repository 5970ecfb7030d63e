"""Carries runs out: one here, several side by side, or under Hydra's multirun."""
