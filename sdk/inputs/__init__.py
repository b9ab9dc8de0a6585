"""What a caller gives, checked once: frames, sources of frames, phrases."""
