"""Helpers that this repository shares and nobody else imports: they change without notice."""
