"""What text must be before a person sees it."""
