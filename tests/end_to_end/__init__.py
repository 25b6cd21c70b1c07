"""Tests of the real command: a process of its own, real HTTP, real signals."""
