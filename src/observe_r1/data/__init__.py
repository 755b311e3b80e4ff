"""Questions with images: where they come from, how hard they are, and in which order they come."""
