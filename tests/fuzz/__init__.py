"""Messages that are nearly right, for both sockets."""
