"""What does the command `taujp` do? The same as `import taujp`, from a terminal."""
