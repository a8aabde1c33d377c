"""A person taken out of everything below a workspace, and the search that proves it."""
