"""Stand-ins for what lies outside the project (Stripe, the broker), for the demo and the tests."""
