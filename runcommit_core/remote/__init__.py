"""Images in registries: what they are called, credentials, blobs brought here and sent there."""
