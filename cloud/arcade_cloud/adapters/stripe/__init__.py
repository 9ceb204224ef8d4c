"""Stripe: its API, through Stripe's library, and its events."""
