"""What is measured in each place of the lungs."""
