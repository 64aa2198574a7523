"""Mail: the healthy neighbour, with the queue `mail` and its own worker on the same Redis."""
