"""The demonstration: the local stack, every sample school's two nights over SFTP, and what became of them."""
