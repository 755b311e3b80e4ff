"""Questions with images: where they come from, how hard they are, in which order they are trained."""
