"""Running the service without containers; nothing here is shipped in the image."""
