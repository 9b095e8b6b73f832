"""The embedded default data: a street world drawn by our own code, scene by scene (`draw`)."""
