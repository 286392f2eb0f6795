"""MONAI Deploy."""
