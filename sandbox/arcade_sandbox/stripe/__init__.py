"""The stand-in for Stripe."""
