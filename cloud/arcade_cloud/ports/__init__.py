"""What the services need from outside, as protocols. `adapters/` implements them."""
