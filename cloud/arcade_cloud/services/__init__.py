"""What is done with the rules: orders moved, payments and messages taken in, in terms of ports only."""
