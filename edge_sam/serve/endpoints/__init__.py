"""The operations of this server's own API."""
