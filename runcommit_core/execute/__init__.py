"""From a job to its layers: the steps, and what goes around them."""
