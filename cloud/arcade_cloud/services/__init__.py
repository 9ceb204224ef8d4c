"""What is done with the rules: orders are moved, payments and messages taken in. Only ports lead outside."""
