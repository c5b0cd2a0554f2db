"""Sections of the report, one per file: each turns the material into the context of its part of the page."""
