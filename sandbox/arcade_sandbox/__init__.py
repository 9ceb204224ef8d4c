"""Stand-ins for Stripe, the broker and AWS, for the demo and the tests."""
