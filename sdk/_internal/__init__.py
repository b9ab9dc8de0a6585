"""Helpers that the rooms of sdk share and nobody else imports."""
