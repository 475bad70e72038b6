"""What keeps a cell from everything that is not its own: one module for each mechanism."""
