"""The canonical layer and what it needs to know of the base."""
