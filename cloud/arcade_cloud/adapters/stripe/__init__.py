"""Stripe: its API through its own library, and its events."""
