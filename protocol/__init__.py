"""The wire of coglet: messages, frames, socket addresses, spill files. No sockets, no tasks."""
