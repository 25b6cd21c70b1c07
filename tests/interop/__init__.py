"""Our supervisor and worker against the published coglet's, in every combination."""
