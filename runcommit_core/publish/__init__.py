"""From layers to what is made of them: files, images, reports."""
