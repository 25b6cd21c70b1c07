"""The command line: from flags, environment and defaults to a `Config`, then off to work."""
