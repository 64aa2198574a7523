"""Text to speech: jobs in MongoDB, rendered by Celery workers from the queue `tts`."""
