"""One supervised ZooKeeper server."""
