"""What this machine has, and how fast a bundle is on it."""
