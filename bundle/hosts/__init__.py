"""What programs that serve the bundle need besides its own workflow."""
