"""The outside world behind the ports: Stripe, the broker, the stores, where alerts go."""
