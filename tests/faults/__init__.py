"""Jobs in which something happens at a chosen moment, and what is left after them."""
