"""Where rows live: keys, buckets, routes."""
