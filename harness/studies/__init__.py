"""Studies: what a sweep file expands to, what of it is missing, and what it shows."""
