"""The ports on this machine: SQLite, a directory, processes. Everything lives under one home directory."""
