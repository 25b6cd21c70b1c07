"""The tests; `tests.interop` has modules that its tests and the programs in `scripts/` share."""
