"""Broken inputs of every reader: what users' disks, networks and other programs do to files."""
