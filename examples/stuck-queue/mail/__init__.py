"""Mail: the healthy neighbour, with the queue `mail` and a worker of its own on the same Redis."""
