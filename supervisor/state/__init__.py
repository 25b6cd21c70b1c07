"""The state machines of the supervisor: plain classes without tasks, sockets or clocks."""
