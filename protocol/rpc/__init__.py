"""Typed msgpack RPC between the processes of a grid."""
