"""Product images: uploaded at once, made into thumbnails by a job."""
