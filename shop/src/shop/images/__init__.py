"""Product images: uploaded synchronously, resized by a job."""
