"""Messages: conversions, fields, quality of service."""
