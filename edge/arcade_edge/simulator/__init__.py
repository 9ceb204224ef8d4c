"""A cabinet without hardware: mock pins, wired to a virtual game board."""
