//! Sockets, TLS, roles, limits, logging.
