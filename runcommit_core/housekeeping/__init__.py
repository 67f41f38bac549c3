"""What jobs note about themselves, and taking away what killed ones left."""
