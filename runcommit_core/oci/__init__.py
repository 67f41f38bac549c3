"""Images as data: descriptors, layouts, archives, strict reading, writers."""
