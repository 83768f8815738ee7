"""The guide that a school gets: what to send, how and when, made from its mapping in its own language."""
