"""Why jobs fail, and whether a retry helps: evidence in, verdict out. Pure.

Messages of errors are payload: they are compared here, and never leave this room.
"""
