"""What runs cost: time, memory and output, measured in processes of their own."""
