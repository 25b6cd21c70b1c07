"""The wire: golden bytes of real coglets, round trips, fuzz, spill files."""
