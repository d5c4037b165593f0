"""Points of faces: what each layout holds, and where they come from."""
