"""The webcam demo's window: what it shows, and what keys and clicks do in it."""
