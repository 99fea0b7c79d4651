//! JSON lines over a Unix socket.
