"""The wire of coglet, and what else both its sides have to do alike; no sockets, no tasks.

The wire: messages, frames, socket addresses, spill files. What both share: which network addresses
are refused (`addresses`), how quantities are written (`quantities`), and how files are opened that
others may have put there (`regular_file`).
"""
